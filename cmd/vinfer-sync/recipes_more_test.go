package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// changes are the recipes for what is done on purpose: upgrades, keys, tenants, machines.
var changes = map[string]func(k *kitchen){
	"first": func(k *kitchen) {
		if out := k.follow("first", exitFine); !strings.Contains(out, "call_a") {
			k.t.Error(out)
		}
		if len(k.hook.arrivals()) > 0 {
			k.t.Error("something was delivered")
		}
	},
	"reload": func(k *kitchen) {
		k.sh(exitFine, "systemctl start vinfer-sync; vinfer-sync once")
		k.write("config.yaml", recipeConfig+"  - {name: other, jsonl: {path: other.jsonl}}\n")
		if out := k.follow("reload", exitFine); !strings.Contains(out, "other") {
			k.t.Error(out)
		}
	},
	"tenants": func(k *kitchen) {
		k.sh(exitFine, "systemctl start vinfer-sync; vinfer-sync once")
		k.write("north.yaml", strings.NewReplacer("state.db", "north.db", "admin.sock", "adminnorth.sock", "calls.jsonl", "north.jsonl").Replace(recipeConfig)+"name: north\n")
		if out := k.follow("tenants", exitFine); !strings.Contains(out, "north") {
			k.t.Error(out)
		}
		if n := len(k.lines("north.jsonl")); n != 1 {
			k.t.Errorf("%d lines", n)
		}
		k.sh(exitFine, "systemctl stop vinfer-sync@north")
	},
	"upgrade": func(k *kitchen) {
		k.sh(exitFine, "systemctl start vinfer-sync; vinfer-sync once")
		if err := os.WriteFile(filepath.Join(k.dir, "log"), nil, 0o600); err != nil {
			k.t.Fatal(err)
		}
		k.follow("upgrade", exitFine)
		if log := strings.Join(k.lines("log"), "\n"); !strings.Contains(log, "msg=started") {
			k.t.Errorf("it was not restarted: %s", log)
		}
		k.all("call_a")
	},
	"rollback": func(k *kitchen) {
		k.sh(exitFine, "systemctl start vinfer-sync; vinfer-sync once")
		k.follow("upgrade", exitFine)
		k.call("call_b")
		k.sh(exitFine, "vinfer-sync once; systemctl stop vinfer-sync")
		if err := setLayout(filepath.Join(k.dir, "state.db"), "99"); err != nil {
			k.t.Fatal(err)
		}
		if out := k.must(exitLeft, "once").stderr; !strings.Contains(out, "was written by a newer version") {
			k.t.Error(out)
		}
		k.call("call_c")
		k.repaired("rollback", -1)
		k.all("call_a", "call_b", "call_c")
	},
	"failover": func(k *kitchen) {
		k.sh(exitFine, "systemctl start vinfer-sync; vinfer-sync once")
		k.follow("backup", exitFine)
		standby := k.another()
		k.carry(standby, "state.db")
		k.call("call_b")
		k.sh(exitFine, "vinfer-sync once")
		k.kill()
		k.call("call_c")
		standby.repaired("failover", -1)
		standby.all("call_a", "call_b", "call_c")
		// And back.
		standby.follow("backup", exitFine)
		standby.carry(k, "state.db")
		standby.kill()
		standby.call("call_d")
		k.repaired("failover", -1)
		k.all("call_a", "call_b", "call_c", "call_d")
	},
	"move-out": func(k *kitchen) {
		k.sh(exitFine, "systemctl start vinfer-sync; vinfer-sync once")
		k.follow("move-out", exitFine)
		next := k.another()
		k.carry(next, "move.tar.gz")
		next.call("call_b")
		next.follow("move-in", exitFine)
		next.all("call_a", "call_b")
		if n := len(next.hook.arrivals()); n != 2 {
			next.t.Errorf("%d arrivals", n)
		}
	},
	"rotate": func(k *kitchen) {
		k.write("webhook_secret", "s3cret\n")
		k.sh(exitFine, `rm config.yaml; echo old | vinfer-sync init -c config.yaml --api-key-file - --base-url "$API" --kind webhook --set url="$HOOK" --start=-48h --state-dir "$DIR" --no-check; echo "transcripts: {fetch: false}" >>config.yaml`)
		k.sim.SetKey("new")
		k.sh(exitFine, "systemctl start vinfer-sync; vinfer-sync once || test $? = 77")
		k.write("new-key", "new\n")
		k.follow("rotate", exitFine)
		k.all("call_a")
		if _, err := os.Stat(filepath.Join(k.dir, "new-key")); err == nil {
			k.t.Error("the key still lies around")
		}
	},
	"rotate-crm": func(k *kitchen) {
		k.write("sales_secret", "old\n")
		k.write("config.yaml", strings.Replace(recipeConfig, "secret: s3cret", "secret_file: sales_secret", 1))
		k.hook.answers(401, "no")
		k.sh(exitFine, "systemctl start vinfer-sync; vinfer-sync once || test $? = 1; vinfer-sync status | grep -q halted")
		k.hook.answers(200, "")
		k.write("new-secret", "new\n")
		k.follow("rotate-crm", exitFine)
		k.until("the halt is lifted", func() bool { return k.status().Pending == 0 })
		k.all("call_a")
	},
}

// TestRecipesForChanges follows the recipes of docs/OPERATIONS.md for what is done on purpose.
func TestRecipesForChanges(t *testing.T) {
	t.Parallel()
	all := recipes(t)
	for name, cook := range changes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKitchen(t, all)
			k.call("call_a")
			cook(k)
		})
	}
}

// followedByChanges are the recipes that TestRecipesForChanges follows.
func followedByChanges() []string {
	names := []string{"move-in"}
	for name := range changes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
