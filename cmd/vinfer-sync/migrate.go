package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/vinfer-sync/vinfer-sync/config"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/bolt"
	"github.com/vinfer-sync/vinfer-sync/store/postgres"
)

func storeMigrateCommand(a *app) *cobra.Command {
	var from, to string
	c := &cobra.Command{
		Use: "migrate --from FILE | --to FILE", Short: "Move the state from a file into the database, or back", Args: cobra.NoArgs,
		Long: "Moves the state of the pipeline from a state file into the database of the configuration (store.postgres), or from there into a file.\n" +
			"All nodes have to be stopped. What was copied is checked and counted on both sides; from then on the source refuses to be used, so that\n" +
			"no call is delivered from both. Interrupted, it goes on when it is run again. A target that holds another state is left as it is.",
		Example: "  vinfer-sync store migrate --from /var/lib/vinfer-sync/state.db\n  vinfer-sync store migrate --to /var/lib/vinfer-sync/state.db",
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		if (from == "") == (to == "") {
			return usageError("say either --from FILE or --to FILE")
		}
		cfg, err := a.load()
		if err != nil {
			return err
		}
		if cfg.Store.Postgres == nil {
			return usageError("the configuration keeps its state in %s: name the database (store.postgres) in it first", cfg.Store.Bolt.Path)
		}
		file, err := filepath.Abs(from + to)
		if err != nil {
			return err
		}
		if from != "" && bolt.Absent(file) {
			return &exitError{exitLeft, fmt.Errorf("there is no state file %s", file)}
		}
		if err := a.sure(c, "Move the state of the pipeline %s? All nodes have to be stopped.", cfg.Name); err != nil {
			return err
		}
		back, err := asOwner(file)
		if err != nil {
			return err
		}
		defer back()
		s, err := migrate(c.Context(), cfg, file, to != "")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s: checked and counted: %d calls recognised, %d jobs, %d dead letters\n", s.Path, s.Calls, s.Jobs, s.DeadLetters)
		return err
	}
	c.Flags().StringVar(&from, "from", "", "the state `file` whose content goes into the database")
	c.Flags().StringVar(&to, "to", "", "the state `file` that gets what the database has; it is made")
	a.asks(c)
	return c
}

// migrate moves the state between a file and the configuration's database.
func migrate(ctx context.Context, cfg *config.Config, path string, out bool) (s store.Survey, err error) {
	db, err := postgres.OpenToMove(ctx, databaseOf(cfg), cfg.Name, node)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	file, err := bolt.Open(path, bolt.Options{Move: true})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if out {
		s, err = db.MoveTo(file.DB, path, file.Adopt)
		s.Path = path
		return s, err
	}
	s, err = file.MoveTo(db.DB, cfg.State(), func(string) error { return nil })
	s.Path = cfg.State()
	return s, err
}
