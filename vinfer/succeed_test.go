package vinfer

import (
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

func TestSucceed(t *testing.T) {
	client := func(base string) *Client {
		c, err := New(Config{BaseURL: base, Key: func() (secret.Text, error) { return secret.New("k"), nil }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	old := client("https://api.example/v1")
	reset := time.Now().Add(time.Minute)
	old.budget.w = window{seen: true, known: true, limit: 1000, remaining: 0, reset: reset}
	old.skew.Store(int64(3 * time.Second))

	other := client("https://another.example/v1")
	other.Succeed(old)
	if other.Budget().Known || other.Skew() != 0 {
		t.Errorf("%+v %v", other.Budget(), other.Skew())
	}
	same := client("https://api.example/v1/")
	same.Succeed(old)
	if b := same.Budget(); b != old.Budget() || b.Remaining != 0 || same.Skew() != 3*time.Second {
		t.Errorf("%+v %v", b, same.Skew())
	}
	if ok, wait := same.budget.admit(time.Now()); ok || wait < 50*time.Second {
		t.Errorf("a request may go: %v, %v", ok, wait)
	}
}
