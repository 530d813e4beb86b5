// Command roots prints the certificate authorities that the container image trusts, as PEM.
//
// They are Mozilla's, from a Go module whose version go.mod names: the same on every machine that builds, and without
// the authorities that an administrator added to that machine. An authority that Mozilla trusts only for certificates up
// to some date is left out, because a PEM file cannot say so.
package main

import (
	"bufio"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

func main() {
	out := bufio.NewWriter(os.Stdout)
	err := write(out)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "roots:", err)
		os.Exit(1)
	}
}

func write(out *bufio.Writer) error {
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		cert, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			return fmt.Errorf("an authority of the module cannot be read: %w", err)
		}
		fmt.Fprintf(out, "# %s\n", cert.Subject)
		if err := pem.Encode(out, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}); err != nil {
			return err
		}
	}
	return nil
}
