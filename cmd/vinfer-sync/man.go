package main

import (
	_ "embed"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/vinfer-sync/vinfer-sync/internal/manpage"
)

// manPage is the manual page but for what the commands say of themselves.
//
//go:embed man.roff
var manPage string

func manCommand() *cobra.Command {
	return &cobra.Command{
		Use: "man", Short: "Print the manual page", Hidden: true, Args: cobra.NoArgs,
		Long: "Prints the manual page of this version: vinfer-sync man | man -l -\n\nIts date is SOURCE_DATE_EPOCH of the environment, in seconds since 1970; it has none otherwise.",
		RunE: func(c *cobra.Command, _ []string) error {
			var date time.Time
			if text := os.Getenv("SOURCE_DATE_EPOCH"); text != "" {
				epoch, err := strconv.ParseInt(text, 10, 64)
				if err != nil {
					return usageError("SOURCE_DATE_EPOCH is %q: write seconds since 1970", text)
				}
				date = time.Unix(epoch, 0)
			}
			if err := manpage.Write(c.OutOrStdout(), manPage, c.Root(), version, date); err != nil {
				return fmt.Errorf("manual page: %w", err)
			}
			return nil
		},
	}
}
