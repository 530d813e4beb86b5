package people

import (
	"sync"
	"time"
)

// most is how many contacts a memory holds: what one destination makes within the time that its search lags, and more.
const most = 4096

// memory holds the ids of the contacts that this process has just made, by number. The zero value keeps nothing.
type memory struct {
	keep time.Duration

	mu    sync.Mutex
	ids   map[string]entry
	order []string // oldest first
}

type entry struct {
	id string
	at time.Time
}

func (m *memory) put(number, id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ids == nil {
		m.ids = map[string]entry{}
	}
	if _, there := m.ids[number]; !there {
		m.order = append(m.order, number)
	}
	m.ids[number] = entry{id, time.Now()}
	for len(m.order) > most {
		delete(m.ids, m.order[0])
		m.order = m.order[1:]
	}
}

func (m *memory) get(number string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.ids[number]; ok && time.Since(e.at) < m.keep {
		return e.id
	}
	return ""
}

// drop forgets a number; its place in the order falls out by itself.
func (m *memory) drop(number string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.ids[number]; ok {
		e.id = ""
		m.ids[number] = e
	}
}
