package vinfer

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// model is a budget against a server that counts as documented, by the clock of a bubble.
type model struct {
	t     *testing.T
	b     *budget
	mu    sync.Mutex
	srv   *server
	began time.Time
	waits map[Priority][]time.Duration // of those that were asked for after the warm-up
	sent  map[Priority]int             // after the warm-up
	warm  time.Duration
	wg    sync.WaitGroup
}

func newModel(t *testing.T, reserve float64, warm time.Duration) *model {
	m := &model{
		t: t, b: newBudget(reserve), srv: &server{limit: 1000, worst: 1000}, began: time.Now(),
		waits: map[Priority][]time.Duration{}, sent: map[Priority]int{}, warm: warm,
	}
	t.Cleanup(m.b.close)
	return m
}

// ask sends one request.
func (m *model) ask(p Priority) {
	asked := time.Now()
	tk, err := m.b.acquire(m.t.Context(), p)
	if err != nil {
		m.t.Error(err)
		return
	}
	now := time.Now()
	m.b.meter.Load().sent(p, now)
	time.Sleep(50 * time.Millisecond)
	m.mu.Lock()
	status, h := m.srv.answer(time.Now())
	if asked.Sub(m.began) >= m.warm {
		m.waits[p] = append(m.waits[p], now.Sub(asked))
		m.sent[p]++
	}
	m.mu.Unlock()
	time.Sleep(50 * time.Millisecond)
	m.b.answered(tk, status, h, time.Now(), 0)
}

// until runs one after the other, for so long.
func (m *model) until(end time.Duration, f func()) {
	m.wg.Go(func() {
		for time.Since(m.began) < end {
			f()
		}
	})
}

// neighbour takes so many requests a minute for other users of the key, evenly.
func (m *model) neighbour(end time.Duration, perMinute int) {
	m.until(end, func() {
		time.Sleep(time.Minute / time.Duration(perMinute))
		m.mu.Lock()
		refused := m.srv.refused
		m.srv.answer(time.Now())
		m.srv.refused = refused // theirs are not ours
		m.mu.Unlock()
	})
}

func quantile(d []time.Duration, q float64) time.Duration {
	slices.Sort(d)
	return d[min(int(q*float64(len(d))), len(d)-1)]
}

// News are as fresh beside transcripts as without them, also where the key's other users leave next to nothing.
func TestNewsDoNotWaitForTranscripts(t *testing.T) {
	for _, tt := range []struct {
		name        string
		neighbour   int
		p50, p99    time.Duration
		transcripts int // in ten minutes, at least
	}{
		{"alone", 0, 0, time.Second, 7500},
		{"a neighbour takes half", 500, 0, time.Second, 2500},
		{"a neighbour takes 95 %", 950, 0, 10 * time.Second, 50},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const end = 14 * time.Minute
				m := newModel(t, 0.1, 4*time.Minute)
				if tt.neighbour > 0 {
					m.neighbour(end, tt.neighbour)
				}
				for range 4 {
					m.until(end, func() { m.ask(Transcripts) })
				}
				m.until(end, func() {
					m.ask(News)
					m.ask(Unfinished)
					time.Sleep(5 * time.Second)
				})
				m.wg.Wait()
				news := m.waits[News]
				t.Logf("news wait %v, %v, %v; %d transcripts, %d refused, %d left at worst", quantile(news, .5), quantile(news, .95), quantile(news, .99), m.sent[Transcripts], m.srv.refused, m.srv.worst)
				if quantile(news, 0.5) > tt.p50 || quantile(news, 0.99) > tt.p99 {
					t.Errorf("news waited %v, %v, %v", quantile(news, .5), quantile(news, .9), quantile(news, .99))
				}
				if m.sent[Transcripts] < tt.transcripts {
					t.Errorf("%d transcripts in ten minutes", m.sent[Transcripts])
				}
				if tt.neighbour == 0 && (m.srv.worst < 100 || m.srv.refused > 0) {
					t.Errorf("%d requests were left, %d were refused", m.srv.worst, m.srv.refused)
				}
			})
		})
	}
}

// What is read again takes a small share where transcripts want all, and none that they or news would have used.
func TestReadingAgainDelaysNeitherNewsNorTranscripts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const end = 14 * time.Minute
		m := newModel(t, 0.1, 4*time.Minute)
		for _, p := range []Priority{Again, Sweeps, Audits, Backfills} {
			m.until(end, func() { m.ask(p) })
		}
		m.until(end, func() {
			m.ask(News)
			time.Sleep(5 * time.Second)
		})
		for range 3 { // a few at once, now and then
			m.until(end, func() {
				m.ask(Transcripts)
				time.Sleep(15 * time.Second)
			})
		}
		m.wg.Wait()
		for _, p := range []Priority{News, Transcripts} {
			t.Logf("%v wait %v, %v, %v", p, quantile(m.waits[p], .5), quantile(m.waits[p], .95), quantile(m.waits[p], 1))
			if quantile(m.waits[p], 0.5) > 0 || quantile(m.waits[p], 0.99) > time.Second {
				t.Errorf("%v waited %v, %v", p, quantile(m.waits[p], .5), quantile(m.waits[p], .99))
			}
		}
		rest := m.sent[Again] + m.sent[Sweeps] + m.sent[Audits] + m.sent[Backfills]
		t.Logf("%v", m.sent)
		if rest < 6500 || m.srv.worst < 100 || m.srv.refused > 0 {
			t.Errorf("the others sent %d; %d requests were left, %d refused", rest, m.srv.worst, m.srv.refused)
		}
	})
	transcripts := func(t *testing.T, rest ...Priority) (sent, others int) {
		synctest.Test(t, func(t *testing.T) {
			const end = 14 * time.Minute
			m := newModel(t, 0.1, 4*time.Minute)
			for range 4 {
				m.until(end, func() { m.ask(Transcripts) })
			}
			for _, p := range rest {
				m.until(end, func() { m.ask(p) })
			}
			m.wg.Wait()
			for _, p := range rest {
				others += m.sent[p]
			}
			sent = m.sent[Transcripts]
		})
		return sent, others
	}
	alone, _ := transcripts(t)
	beside, rest := transcripts(t, Again, Sweeps, Audits, Backfills)
	t.Logf("%d transcripts alone, %d beside %d other requests", alone, beside, rest)
	if beside < alone*94/100 || rest < 300 || rest > 550 {
		t.Errorf("%d transcripts alone, %d beside %d other requests", alone, beside, rest)
	}
}

// A neighbour counts when it stays: one that came once, or an answer that was wrong once, slows nobody down.
func TestOneBurstOfOthersCostsOneWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const end = 7 * time.Minute
		m := newModel(t, 0.1, 4*time.Minute)
		for range 4 {
			m.until(end, func() { m.ask(Audits) })
		}
		time.Sleep(2*time.Minute + 30*time.Second)
		m.mu.Lock()
		m.srv.used += 600
		m.mu.Unlock()
		m.wg.Wait()
		if got := m.sent[Audits]; got < 3*850 {
			t.Errorf("%d requests in the three minutes after", got)
		}
	})
}
