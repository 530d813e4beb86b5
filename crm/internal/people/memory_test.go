package people

import (
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := memory{keep: time.Minute}
		var group sync.WaitGroup
		for w := range 4 {
			group.Go(func() {
				for i := range most {
					m.put(strconv.Itoa(i), strconv.Itoa(w))
					_ = m.get(strconv.Itoa(i))
				}
			})
		}
		group.Wait()
		if len(m.ids) != most || len(m.order) != most {
			t.Fatalf("%d and %d", len(m.ids), len(m.order))
		}
		m.put("new", "id")
		if m.get("0") != "" || m.get("1") == "" || m.get("new") != "id" || len(m.ids) != most || len(m.order) != most {
			t.Error("the oldest does not make room")
		}
		m.drop("new")
		if m.get("new") != "" {
			t.Error("a dropped one is remembered")
		}
		m.put("new", "id2")
		time.Sleep(59 * time.Second)
		if m.get("new") != "id2" {
			t.Error("forgotten too soon")
		}
		time.Sleep(2 * time.Second)
		if m.get("new") != "" {
			t.Error("remembered for too long")
		}
	})
}
