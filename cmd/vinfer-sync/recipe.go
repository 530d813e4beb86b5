package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/rest"
	"github.com/vinfer-sync/vinfer-sync/internal/mask"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

func recipeCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "recipe", Short: "Look at recipes of the kind rest, and test them", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(recipeListCommand(a), recipeShowCommand(a), recipeTestCommand())
	return c
}

func recipeListCommand(a *app) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the recipes that are a part of the program", Args: cobra.NoArgs}
	o := outputFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		type line struct {
			Name  string `json:"name"`
			About string `json:"about"`
		}
		var lines []line
		var rows [][]string
		for _, name := range rest.Embedded() {
			_, text, err := rest.Source(name)
			if err != nil {
				return err
			}
			about, _, _ := strings.Cut(strings.TrimPrefix(string(text), "# "), "\n")
			lines = append(lines, line{name, about})
			rows = append(rows, []string{name, about})
		}
		if o.json() {
			return json.NewEncoder(c.OutOrStdout()).Encode(lines)
		}
		return a.screen(c, o).table([]string{"NAME", "ABOUT"}, rows, 1)
	}
	return c
}

func recipeShowCommand(a *app) *cobra.Command {
	var id, sample string
	var source bool
	c := &cobra.Command{
		Use: "show NAME|FILE", Short: "Show the requests that a recipe makes of a call", Args: cobra.ExactArgs(1),
		Long: "Shows the requests that a call may cause, by a recipe that is a part of the program or by a file. Nothing is sent, and secrets are masked.\n\n" +
			"The call is a made-up one: full has everything, empty has an id only, hostile has texts that attack. With --call it is one of VInfer's, by the configuration's mapping.\n\n" +
			"With --yaml the recipe itself is printed, as a beginning of one of your own.",
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		if source && (id != "" || c.Flags().Changed("sample")) || id != "" && c.Flags().Changed("sample") {
			return usageError("write one of --call, --sample and --yaml")
		}
		file, text, err := rest.Source(args[0])
		if err != nil {
			return &exitError{exitConfig, err}
		}
		if source {
			_, err = c.OutOrStdout().Write(text)
			return err
		}
		if !slices.Contains(rest.Samples, sample) {
			return usageError("--sample %q: write %s", sample, strings.Join(rest.Samples, ", "))
		}
		r, err := rest.Parse(file, text, nil)
		if err != nil {
			return &exitError{exitConfig, err}
		}
		e := rest.Sample(sample)
		shown := func(s string) string { return s }
		if id != "" {
			if e, err = a.entryOf(c.Context(), id); err != nil {
				return err
			}
			shown = mask.Phones
		}
		_, err = fmt.Fprint(c.OutOrStdout(), shown(r.Show(e)))
		return err
	}
	c.Flags().StringVar(&id, "call", "", "the call of this `id`, asked for at VInfer")
	c.Flags().StringVar(&sample, "sample", rest.Samples[0], "a made-up `call`: full, empty or hostile")
	c.Flags().BoolVar(&source, "yaml", false, "print the recipe itself")
	c.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return rest.Embedded(), cobra.ShellCompDirectiveDefault
	}
	_ = c.RegisterFlagCompletionFunc("call", a.completing(callIDs)) // the flags are there
	_ = c.RegisterFlagCompletionFunc("sample", cobra.FixedCompletions(rest.Samples, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// entryOf asks VInfer for a call and returns its first entry, by the mapping of the first destination of the kind rest, or else by the common one.
func (a *app) entryOf(ctx context.Context, id string) (crm.Entry, error) {
	cfg, err := a.load()
	if err != nil {
		return crm.Entry{}, err
	}
	api, err := newClient(cfg, a.logger(cfg))
	if err != nil {
		return crm.Entry{}, err
	}
	defer api.Close()
	call, err := api.Call(ctx, id, vinfer.News)
	if errors.Is(err, vinfer.ErrNotFound) {
		return crm.Entry{}, &exitError{exitLeft, fmt.Errorf("VInfer has no call %s", id)}
	}
	if err != nil {
		return crm.Entry{}, err
	}
	mapping, owner := cfg.Mapping, ""
	for i := range cfg.CRM {
		if cfg.CRM[i].REST != nil {
			mapping, owner = cfg.CRM[i].Mapping, cfg.CRM[i].Owner
			break
		}
	}
	return engine.FirstEntry(call, mappingOf(mapping), owner, cfg.Region, cfg.Location())
}

func recipeTestCommand() *cobra.Command {
	var update bool
	c := &cobra.Command{
		Use: "test DIR", Short: "Run the cases of a recipe", Args: cobra.ExactArgs(1),
		Long: "Runs every case DIR/*.txtar: a call, the answers that the system gives (lost and cut ones too), and the requests and the outcome that are expected. " +
			"Requests go to this machine only. docs/recipes.md tells how a case is written. Exits with 1 if one fails.",
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		files, err := filepath.Glob(filepath.Join(args[0], "*.txtar"))
		if err != nil {
			return err
		}
		if len(files) == 0 {
			return usageError("%s holds no *.txtar", args[0])
		}
		failed := 0
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			got, err := rest.Golden(c.Context(), args[0], text, update)
			if err == nil && update {
				err = os.WriteFile(file, got, 0o600) //nolint:gosec // the operator names the directory
			}
			name := strings.TrimSuffix(filepath.Base(file), ".txtar")
			if err != nil {
				failed++
				fmt.Fprintf(c.OutOrStdout(), "FAILS  %s: %v\n", name, err)
				continue
			}
			fmt.Fprintf(c.OutOrStdout(), "ok     %s\n", name)
		}
		if failed > 0 {
			return &exitError{exitLeft, fmt.Errorf("%s of %d failed", count(failed, "case"), len(files))}
		}
		return nil
	}
	c.Flags().BoolVar(&update, "update", false, "write down the requests and the outcome as they are, to be read before they are kept")
	return c
}
