package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/config"
)

// destination takes what the kind cannot do without, and on a terminal what else it takes.
func (r *first) destination() error {
	if r.ask != nil && r.draft.Kind() != "sqlite" {
		r.ask.say("\nThe destination: %s.", r.draft.About())
	}
	for {
		missing, _ := r.draft.Missing(r.path)
		if len(missing) == 0 {
			break
		}
		var err error
		switch s := missing[0]; {
		case r.ask != nil:
			err = r.one(s)
		case r.own(s) != "":
			err = r.draft.SetOwn(s.Key, r.own(s))
		default:
			for _, s := range missing {
				r.wrong("%s: %s", flagOf(s), s.About)
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
	return r.more()
}

// own returns a setting's value where nobody need be asked: a file in the state's directory.
func (r *first) own(s config.Setting) string {
	if rest, ok := strings.CutPrefix(s.Example, serviceState+"/"); ok {
		return r.beside(filepath.Join(r.state, rest))
	}
	return ""
}

// beside returns a path as the configuration has it: from its own directory on, if it lies in there.
func (r *first) beside(path string) string {
	if rel, err := filepath.Rel(r.dir(), path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}

// flagOf shows how a setting is given by a flag.
func flagOf(s config.Setting) string {
	if s.Secret {
		return fmt.Sprintf("--set %s_file=%s", s.Key, or(s.Example, "PATH"))
	}
	return fmt.Sprintf("--set %s=%s", s.Key, or(s.Example, "VALUE"))
}

// one asks for a setting of the kind.
func (r *first) one(s config.Setting) error {
	r.ask.say("%s: %s", s.Key, s.About)
	if s.Secret {
		file := or(s.Example, r.draft.Kind()+"_"+s.Key)
		return r.secret(file, strings.ToUpper(file), func(suffix, value string) error { return r.draft.SetOwn(s.Key+suffix, value) })
	}
	prompt, byDefault := s.Key, r.own(s)
	if byDefault == "" && s.Example != "" {
		prompt += " (as " + s.Example + ")"
	}
	value := ""
	for value == "" {
		var err error
		if value, err = r.ask.line(prompt, byDefault); err != nil {
			return err
		}
	}
	return r.until("--set "+s.Key, "crm[0]."+r.draft.Kind()+"."+s.Key, value, prompt, func(v string) error { return r.draft.SetOwn(s.Key, v) })
}

// more asks for settings that the kind can do without.
func (r *first) more() error {
	if r.ask == nil {
		return nil
	}
	for shown := false; ; {
		var left []config.Setting
		for _, s := range r.draft.Settings() {
			if !r.draft.Has(s.Key) {
				left = append(left, s)
			}
		}
		if len(left) == 0 {
			return nil
		}
		if !shown {
			shown = true
			r.ask.say("It can also be told:")
			for _, s := range left {
				r.ask.say("  %-16s %s", s.Key, cut(s.About, 100))
			}
		}
		text, err := r.ask.line("Tell it one, by its name or as KEY=VALUE (Enter: none)", "")
		if err != nil || text == "" {
			return err
		}
		key, value, ok := strings.Cut(text, "=")
		key = strings.TrimSpace(key)
		i := slices.IndexFunc(left, func(s config.Setting) bool { return s.Key == key || s.Secret && s.Key+"_file" == key })
		switch {
		case i < 0:
			r.ask.say("  %s is none of them", key)
		case !ok || left[i].Secret && left[i].Key == key:
			err = r.one(left[i])
		case left[i].Secret:
			err = r.draft.SetOwn(key, r.nameOf(strings.TrimSpace(value)))
		default:
			err = r.until("--set "+key, "crm[0]."+r.draft.Kind()+"."+key, strings.TrimSpace(value), key, func(v string) error { return r.draft.SetOwn(key, v) })
		}
		if err != nil {
			return err
		}
		if missing, _ := r.draft.Missing(r.path); len(missing) > 0 {
			if err := r.one(missing[0]); err != nil {
				return err
			}
		}
	}
}
