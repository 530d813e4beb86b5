package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vinfer-sync/vinfer-sync/config"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/bolt"
)

func storeCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "store", Short: "Check, back up, compact or move the state", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(storeCheckCommand(a), storeBackupCommand(a), storeCompactCommand(a), storeMigrateCommand(a))
	return c
}

func storeCheckCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "check [FILE]", Short: "Check the state file, or a backup of it", Args: cobra.MaximumNArgs(1),
		Long: "Reads the whole state file and checks its structure, the checksum of every record and that indexes and counters agree with what they\ncount. It works beside the daemon. With FILE it looks at that one, a backup say. Nothing is written. Exit code 1: it is damaged.",
	}
	o := outputFlags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 1 {
			s, err := bolt.SurveyFile(args[0])
			if err != nil {
				return err
			}
			return printSurvey(c, s, o.json())
		}
		return a.with(c.Context(), toLook, func(ctx context.Context, b backend) error {
			s, err := b.Survey(ctx)
			if err != nil {
				return err
			}
			return printSurvey(c, s, o.json())
		})
	}
	return c
}

func printSurvey(c *cobra.Command, s store.Survey, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(c.OutOrStdout()).Encode(s)
	}
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "%s\tis whole (version %d of the layout)\n", s.Path, s.Layout)
	if s.Size > 0 { // a database has no file of its own
		fmt.Fprintf(w, "size\t%s, %s in use\n", megabytes(s.Size), megabytes(s.Used))
	}
	fmt.Fprintf(w, "calls recognised\t%d\nreceipts\t%d\njobs in the outbox\t%d\ndead letters\t%d\nawaited\t%d\n", s.Calls, s.Receipts, s.Jobs, s.DeadLetters, s.Watches)
	return w.Flush()
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

func storeBackupCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "backup FILE", Short: "Copy the state file while the daemon works on", Args: cobra.ExactArgs(1),
		Long: "Writes a consistent copy of the state file, checks it and gives it its name only then. It may run while the daemon works. The copy holds\npersonal data as the state file does and is readable for its owner alone. A file that is there is replaced only if it is a state file itself.\nTo restore it see docs/OPERATIONS.md.",
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := a.read(config.LoadForOperator)
			if err != nil {
				return err
			}
			if cfg.Store.Postgres != nil {
				return usageError("the state is in a database: back it up with pg_dump --schema=%s, or with what backs up the whole server", cfg.Store.Postgres.Schema)
			}
			if err := mayReplace(args[0], cfg.Store.Bolt.Path); err != nil {
				return err
			}
			s, err := writeBackup(args[0], func(w io.Writer) error {
				return a.with(c.Context(), toLook, func(ctx context.Context, b backend) error { return b.Backup(ctx, w) })
			})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s, checked: %d calls recognised, %d jobs, %d dead letters\n", args[0], megabytes(s.Size), s.Calls, s.Jobs, s.DeadLetters)
			return err
		},
	}
}

// mayReplace errs if a backup must not be written to path.
func mayReplace(path, state string) error {
	st, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		if dir, err := os.Stat(filepath.Dir(path)); err != nil || !dir.IsDir() {
			return &exitError{exitLeft, fmt.Errorf("there is no directory %s to write the backup to", filepath.Dir(path))}
		}
		return nil
	}
	if err != nil {
		return err
	}
	if own, err := os.Stat(state); err == nil && os.SameFile(st, own) {
		return usageError("%s is the state file itself: name another file", path)
	}
	if _, err := bolt.SurveyFile(path); err != nil {
		return &exitError{exitLeft, fmt.Errorf("%s exists and is not a backup (%w); it was not changed: name another file", path, err)}
	}
	return nil
}

// writeBackup writes a copy under a temporary name, checks it, and gives it its own.
func writeBackup(path string, produce func(io.Writer) error) (s store.Survey, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return s, err
	}
	defer func() {
		_ = f.Close() // nil or a second time
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if err := produce(f); err != nil {
		return s, fmt.Errorf("copying the state file: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return s, err
	}
	if s, err = bolt.SurveyFile(f.Name()); err != nil {
		return s, fmt.Errorf("the copy is not whole: %w", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return s, err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return s, err
	}
	return s, errors.Join(dir.Sync(), dir.Close())
}

func storeCompactCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "compact", Short: "Rewrite the state file, smaller, while the daemon is stopped", Args: cobra.NoArgs,
		Long: "Checks the state file, copies what it holds into a new one and puts that in its place. The daemon has to be stopped. It takes as much room\nas the new file; interrupted at any point it leaves the state file whole.",
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.read(config.LoadForOperator)
			if err != nil {
				return err
			}
			if cfg.Store.Postgres != nil {
				return usageError("the state is in a database, which makes room itself: there is nothing to compact")
			}
			client, err := a.dial(cfg.Admin.Socket, cfg.State())
			if err != nil {
				return err
			}
			if client != nil {
				client.Close()
				return &exitError{exitLocked, fmt.Errorf("the daemon holds %s: stop it (systemctl stop vinfer-sync), compact, start it again", cfg.Store.Bolt.Path)}
			}
			if !a.quiet {
				fmt.Fprintf(c.ErrOrStderr(), "pipeline %s, %s\n", cfg.Name, cfg.File)
			}
			back, err := asOwner(cfg.Store.Bolt.Path)
			if err != nil {
				return err
			}
			defer back()
			st, err := openFile(cfg, toChange)
			if err != nil {
				return err
			}
			r, err := st.Compact()
			if err = errors.Join(err, st.Close()); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s, was %s\n", cfg.Store.Bolt.Path, megabytes(r.After), megabytes(r.Before))
			return err
		},
	}
}
