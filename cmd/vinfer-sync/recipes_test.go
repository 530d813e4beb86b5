package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

const recipeConfig = `
vinfer: {base_url: "${API}", api_key: any}
start: -48h
schedule: "@every 1h"
store: {bbolt: {path: state.db}}
admin: {socket: admin.sock, listen: ""}
transcripts: {fetch: false}
crm:
  - {name: sales, webhook: {url: "${HOOK}", secret: s3cret}}
  - {name: archive, jsonl: {path: calls.jsonl}}
`

// The programs that recipes call, as far as they are not everywhere or not ours to call in a test.
const (
	stubProgram = `#!/bin/sh
cd "$DIR" && exec "$SELF" "$@"
`
	stubSystemctl = `#!/bin/sh
cd "$DIR"
name=${2#vinfer-sync} name=${name#@}
pid=$(cat "pid$name" 2>/dev/null)
case "$1" in
stop)
	test -n "$pid" || exit 0
	kill -TERM "$pid"
	while test -d "/proc/$pid" && ! grep -q ') Z' "/proc/$pid/stat"; do sleep 0.02; done
	rm -f "pid$name"
	;;
start)
	rm -f "admin$name.sock"
	"$SELF" run -c "${name:-config}.yaml" >>log 2>&1 &
	echo $! >"pid$name"
	while test ! -S "admin$name.sock"; do
		kill -0 $! || exit 1
		sleep 0.02
	done
	;;
reload)
	reloads=$(grep -c 'msg="configuration reloaded"' log || true)
	kill -HUP "$pid"
	while test "$(grep -c 'msg="configuration reloaded"' log || true)" = "$reloads"; do
		kill -0 "$pid" || exit 1
		sleep 0.02
	done
	;;
esac
`
	// It restarts what runs, as the package does.
	stubApt = `#!/bin/sh
test ! -e "$DIR/pid" || { systemctl stop vinfer-sync && systemctl start vinfer-sync; }
`
	stubChown   = "#!/bin/sh\n"
	stubRunuser = `#!/bin/sh
shift 3 && exec "$@"
`
	stubJournalctl = `#!/bin/sh
rm -f "$DIR/ballast"
`
)

// kitchen is a world in which recipes are followed.
type kitchen struct {
	*world
	recipes map[string]string
	bin     string
}

var recipeBlock = regexp.MustCompile("(?s)```sh\n# recipe: (\\S+)\n(.*?)```")

func recipes(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, m := range recipeBlock.FindAllStringSubmatch(string(text), -1) {
		out[m[1]] = m[2]
	}
	if blocks := bytes.Count(text, []byte("```sh\n")); blocks != len(out) {
		t.Fatalf("%d blocks, and %d recipes with names of their own", blocks, len(out))
	}
	return out
}

func newKitchen(t *testing.T, all map[string]string) *kitchen {
	return equip(newWorld(t, simulator.Options{LimitPerMinute: -1}), all)
}

// another is a second machine: the same configuration, VInfer and destinations, and nothing else yet.
func (k *kitchen) another() *kitchen {
	w := *k.world
	w.dir = newDir(k.t)
	return equip(&w, k.recipes)
}

func equip(w *world, all map[string]string) *kitchen {
	t := w.t
	k := &kitchen{world: w, recipes: all, bin: t.TempDir()}
	k.write("config.yaml", recipeConfig)
	for name, text := range map[string]string{"vinfer-sync": stubProgram, "systemctl": stubSystemctl, "runuser": stubRunuser, "journalctl": stubJournalctl, "apt-get": stubApt, "chown": stubChown} {
		if err := os.WriteFile(filepath.Join(k.bin, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(k.kill)
	return k
}

// sh runs a shell script, which has to end with code.
func (k *kitchen) sh(code int, script string) string {
	k.t.Helper()
	self, err := os.Executable()
	if err != nil {
		k.t.Fatal(err)
	}
	c := exec.CommandContext(k.t.Context(), "sh", "-euc", script)
	c.Dir = k.dir
	c.Env = append(os.Environ(), asProgram+"=1", "API="+k.api, "HOOK="+k.hookURL, "DIR="+k.dir, "SELF="+self, "PATH="+k.bin+":"+os.Getenv("PATH"))
	out := filepath.Join(k.dir, "shown") // a file: the service that systemctl starts outlives the script
	f, err := os.Create(out)
	if err != nil {
		k.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	c.Stdout, c.Stderr = f, f
	got := exitOf(k.t, c.Run())
	text, err := os.ReadFile(out)
	if err != nil {
		k.t.Fatal(err)
	}
	if got != code {
		k.t.Fatalf("exit code %d, want %d of:\n%s\nIt says:\n%s", got, code, script, text)
	}
	return string(text)
}

var recipePaths = strings.NewReplacer("/var/lib/vinfer-sync", ".", "/etc/vinfer-sync", ".", "/var/backups/vinfer-sync", "backups", "-o vinfer-sync -g vinfer-sync ", "", "-o root -g vinfer-sync ", "")

// follow follows a recipe of the document.
func (k *kitchen) follow(name string, code int) string {
	k.t.Helper()
	return k.sh(code, recipePaths.Replace(k.recipes[name]))
}

// carry takes a backup to another machine.
func (k *kitchen) carry(to *kitchen, name string) {
	k.t.Helper()
	b, err := os.ReadFile(filepath.Join(k.dir, "backups", name))
	if err == nil {
		err = os.MkdirAll(filepath.Join(to.dir, "backups"), 0o700)
	}
	if err != nil {
		k.t.Fatal(err)
	}
	to.write("backups/"+name, string(b))
}

// kill ends the service as a crash does.
func (k *kitchen) kill() {
	b, err := os.ReadFile(filepath.Join(k.dir, "pid"))
	if err != nil {
		return // it does not run
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		k.t.Fatal(err)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	for {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || bytes.Contains(stat, []byte(") Z")) {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	_ = os.Remove(filepath.Join(k.dir, "pid"))
}

func (k *kitchen) call(id string) {
	k.sim.Add(simulator.Call{ID: id, Phone: "+919876543210", Name: "Asha Rao", Disposition: "interested", Duration: time.Minute, End: time.Now().Add(-time.Minute)})
}

// all compares what arrived with what had to: each call, and a repeated one with the same key.
func (k *kitchen) all(ids ...string) {
	k.t.Helper()
	keys := map[string]string{}
	for _, a := range k.hook.arrivals() {
		key := a.header.Get("Idempotency-Key")
		if old := keys[a.CallID]; old != "" && old != key {
			k.t.Errorf("%s came again under another key", a.CallID)
		}
		keys[a.CallID] = key
	}
	if got := slices.Sorted(maps.Keys(keys)); !slices.Equal(got, ids) {
		k.t.Errorf("arrived: %v, want %v", got, ids)
	}
	k.sh(exitFine, "vinfer-sync store check")
}

// disasters are what can become of a state file, what the program says then, and whether it says so at all.
var disasters = map[string]struct {
	happen func(k *kitchen, state string) error
	says   string
}{
	"cut off": {func(_ *kitchen, state string) error { return os.Truncate(state, 9000) }, "was cut off"},
	"empty":   {func(_ *kitchen, state string) error { return os.Truncate(state, 0) }, "is missing or empty"},
	"missing": {func(_ *kitchen, state string) error { return os.Remove(state) }, "is missing or empty"},
	"foreign": {func(_ *kitchen, state string) error {
		return os.WriteFile(state, []byte("a letter to a friend"), 0o600)
	}, "not a state file"},
	"zeros": {func(_ *kitchen, state string) error { return os.WriteFile(state, make([]byte, 65536), 0o600) }, "is missing or empty"},
	"damaged": {func(_ *kitchen, state string) error {
		b, err := os.ReadFile(state)
		if err != nil {
			return err
		}
		for page := 2; page < len(b)/4096; page++ {
			copy(b[page*4096:], bytes.Repeat([]byte{0xed}, 64))
		}
		return os.WriteFile(state, b, 0o600)
	}, "the store is damaged"},
	"swapped": {func(k *kitchen, state string) error {
		k.write("other.yaml", strings.ReplaceAll(recipeConfig, "state.db", "other.db"))
		k.must(exitFine, "once", "-c", "other.yaml")
		return os.Rename(filepath.Join(k.dir, "other.db"), state)
	}, "is not the store"},
	"newer": {func(_ *kitchen, state string) error { return setLayout(state, "99") }, "was written by a newer version"},
}

func setLayout(state, version string) error {
	b, err := bbolt.Open(state, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return err
	}
	err = b.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte(version)) })
	return errors.Join(err, b.Close())
}

// TestRecipes follows what docs/OPERATIONS.md says, word for word, after what it is for has happened.
func TestRecipes(t *testing.T) {
	t.Parallel()
	all := recipes(t)
	followed := map[string]bool{}
	for name, d := range disasters {
		followed["backup"], followed["restore"], followed["anew"] = true, true, true
		for _, with := range []string{"restore", "anew"} {
			if with == "anew" && name != "damaged" && name != "empty" {
				continue
			}
			t.Run(name+", "+with, func(t *testing.T) {
				t.Parallel()
				k := newKitchen(t, all)
				k.call("call_a")
				k.sh(exitFine, "systemctl start vinfer-sync; vinfer-sync once")
				k.follow("backup", exitFine)
				if st, err := os.Stat(filepath.Join(k.dir, "backups", "state.db")); err != nil || st.Mode().Perm() != 0o600 {
					t.Fatal(st.Mode(), err)
				}
				k.call("call_b")
				k.sh(exitFine, "vinfer-sync once")
				k.kill()
				if err := d.happen(k, filepath.Join(k.dir, "state.db")); err != nil {
					t.Fatal(err)
				}
				// systemd starts the service again after every other code.
				for command, code := range map[string]int{"run": exitConfig, "status": exitLeft, "once": exitLeft} {
					r := k.must(code, command)
					if !strings.Contains(r.stderr, d.says) || !strings.Contains(r.stderr, "state.db") || strings.Contains(r.stderr, "goroutine ") {
						t.Errorf("%s says: %s", command, r.stderr)
					}
				}
				k.call("call_c")
				code := exitFine
				if with == "restore" {
					code = -1
				}
				k.repaired(with, code)
				k.all("call_a", "call_b", "call_c")
			})
		}
	}
	for name, cook := range lesserRecipes {
		followed[name] = true
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKitchen(t, all)
			k.call("call_a")
			cook(k)
		})
	}
	for _, name := range followedByChanges() {
		followed[name] = true
	}
	for name := range all {
		if !followed[name] {
			t.Errorf("nothing follows the recipe %s", name)
		}
	}
	for name := range followed {
		if all[name] == "" {
			t.Errorf("docs/OPERATIONS.md has no recipe %s", name)
		}
	}
}

// repaired follows a recipe whose last command may say, by exit code 1, that something had been missed.
func (k *kitchen) repaired(name string, code int) {
	k.t.Helper()
	if code >= 0 {
		k.follow(name, code)
		return
	}
	lines := strings.Split(strings.TrimSpace(recipePaths.Replace(k.recipes[name])), "\n")
	k.sh(exitFine, strings.Join(lines[:len(lines)-1], "\n"))
	k.sh(exitFine, lines[len(lines)-1]+" || test $? = 1")
}

var lesserRecipes = map[string]func(k *kitchen){
	"look": func(k *kitchen) {
		k.must(exitFine, "once")
		k.follow("look", exitFine)
	},
	"compact": func(k *kitchen) {
		k.sh(exitFine, "systemctl start vinfer-sync; vinfer-sync once")
		k.follow("compact", exitFine)
		k.all("call_a")
	},
	"full": func(k *kitchen) {
		k.must(exitFine, "once")
		state := filepath.Join(k.dir, "state.db")
		b, err := os.ReadFile(state)
		if err != nil {
			k.t.Fatal(err)
		}
		// Where nothing can be mounted the recipe is followed with room on the disk.
		mounted := syscall.Mount("tmpfs", k.dir, "tmpfs", 0, "size=5m") == nil
		if mounted {
			k.t.Cleanup(func() { _ = syscall.Unmount(k.dir, syscall.MNT_DETACH) })
			k.write("config.yaml", recipeConfig)
			k.write("state.db", string(b))
		}
		k.call("call_b")
		k.write("ballast", "")
		if mounted {
			f, err := os.OpenFile(filepath.Join(k.dir, "ballast"), os.O_WRONLY, 0)
			if err != nil {
				k.t.Fatal(err)
			}
			for chunk := make([]byte, 4096); err == nil; {
				_, err = f.Write(chunk)
			}
			_ = f.Close()
			if r := k.must(exitLeft, "once"); !strings.Contains(r.stderr, "no space left") {
				k.t.Errorf("on a full disk it says: %s", r.stderr)
			}
		}
		if mounted { // sh keeps what is shown in a file
			k.sh(exitFine, "journalctl --vacuum-size=100M; touch ballast")
		}
		k.follow("full", exitFine)
		k.all("call_a", "call_b")
	},
	"halted": func(k *kitchen) {
		k.hook.answers(401, "no")
		k.must(exitLeft, "once")
		k.hook.answers(200, "")
		if out := k.follow("halted", exitFine); !strings.Contains(out, "401") {
			k.t.Error(out)
		}
		k.all("call_a")
	},
	"refused": func(k *kitchen) {
		k.hook.answers(422, "no")
		k.must(exitLeft, "once")
		k.hook.answers(200, "")
		k.follow("refused", exitFine)
		k.all("call_a")
	},
	"maintenance": func(k *kitchen) {
		k.must(exitFine, "once")
		if out := k.follow("maintenance", exitFine); !strings.Contains(out, "upgrade until noon") {
			k.t.Error(out)
		}
	},
	"fill": func(k *kitchen) {
		whole := recipeConfig
		k.write("config.yaml", whole[:strings.Index(whole, "  - {name: archive")])
		k.must(exitFine, "once")
		k.write("config.yaml", whole)
		k.must(exitFine, "once")
		k.follow("fill", exitFine)
		if n := len(k.lines("calls.jsonl")); n != 1 {
			k.t.Errorf("%d lines", n)
		}
	},
	"missing": func(k *kitchen) {
		k.call("call_abc123")
		k.must(exitFine, "once")
		if out := k.follow("missing", exitFine); strings.Count(out, "call_abc123") < 2 {
			k.t.Error(out)
		}
	},
	"again": func(k *kitchen) {
		k.must(exitFine, "once")
		k.follow("again", exitFine)
		if n := len(k.hook.arrivals()); n != 1 {
			k.t.Errorf("%d arrivals", n)
		}
	},
	"forget": func(k *kitchen) {
		k.must(exitFine, "once")
		if out := k.follow("forget", exitFine); !strings.Contains(out, "erased 1 call") || !strings.Contains(out, "sales") {
			k.t.Error(out)
		}
	},
}

// A state file of a build that was never released is refused with what to do, which is done here.
func TestOlderLayoutIsRefused(t *testing.T) {
	t.Parallel()
	k := newKitchen(t, recipes(t))
	k.call("call_a")
	k.must(exitFine, "once")
	file := filepath.Join(k.dir, "state.db")
	if err := setLayout(file, "4"); err != nil {
		t.Fatal(err)
	}
	r := k.must(exitLeft, "once")
	for _, want := range []string{file, "version 4", "state.db.id", "backfill"} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("it does not say %q: %s", want, r.stderr)
		}
	}
	for _, name := range []string{file, file + ".id"} {
		if err := os.Rename(name, name+".old"); err != nil {
			t.Fatal(err)
		}
	}
	k.must(exitFine, "once")
}
