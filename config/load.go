package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	_ "time/tzdata" // zones must be known on machines without a zone database
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// The files that are looked for when none is named.
const (
	localFile  = "config.yaml"
	systemFile = "/etc/vinfer-sync/config.yaml"
)

// Find returns the configuration file to read: the explicit one, else ./config.yaml, else /etc/vinfer-sync/config.yaml. Root gets the
// latter first: where root stands is chance, and the service is what root means.
func Find(explicit string) (string, error) {
	if os.Geteuid() == 0 {
		return find(explicit, systemFile, localFile)
	}
	return find(explicit, localFile, systemFile)
}

func find(explicit string, places ...string) (string, error) {
	if explicit != "" {
		return explicit, nil // Load says what is wrong with it
	}
	for _, p := range places {
		// One that is there and cannot be read must not be passed over for another.
		if _, err := os.Lstat(p); !errors.Is(err, os.ErrNotExist) {
			return p, nil
		}
	}
	return "", Errors{{
		Problem: "there is no configuration: neither " + strings.Join(places, " nor ") + " exists",
		Remedy:  "vinfer-sync init writes one; --config names one that is somewhere else",
	}}
}

// maxFile is far more than any configuration needs.
const maxFile = 1 << 20

// Load reads the configuration at path. Whatever is wrong with it comes back as Errors, all of it at once.
func Load(path string) (*Config, error) { return load(path, os.LookupEnv, false) }

// outOfReach stands for a secret that LoadForOperator did not get. It must not be sent anywhere.
var outOfReach = secret.New("out-of-reach")

// LoadForOperator reads the configuration for a command that asks the daemon, or only its state file: what only the
// service is given (its environment, its credentials) may be missing here. Nothing may be connected to by what it returns.
func LoadForOperator(path string) (*Config, error) {
	return load(path, operatorEnv, true)
}

// operatorEnv is an environment in which every variable is set that a configuration may name.
func operatorEnv(name string) (string, bool) {
	if v, ok := os.LookupEnv(name); ok || name == "CREDENTIALS_DIRECTORY" {
		return v, ok
	}
	return outOfReach.Reveal(), true
}

func load(path string, env func(string) (string, bool), operator bool) (*Config, error) {
	data, err := readFile(path)
	if err != nil {
		f := Fault{File: path, Problem: "cannot be read", Remedy: "check the path and its permissions"}
		var pe *os.PathError
		if errors.As(err, &pe) {
			f.Problem += ": " + pe.Err.Error()
		}
		if errors.Is(err, os.ErrPermission) {
			f.Remedy = "run the command as root" + orMember(path)
		}
		return nil, Errors{f}
	}
	c, inline, err := parse(path, data, env, operator)
	if err != nil {
		return nil, err
	}
	if fi, err := os.Stat(path); err == nil && inline && fi.Mode().Perm()&0o007 != 0 {
		c.Warnings = append(c.Warnings, fmt.Sprintf("%s holds a secret and can be read by everybody on this machine; run: chmod o= %s", path, path))
	}
	return c, nil
}

// orMember names the group whose members may read a file that this user may not; empty: there is none.
func orMember(path string) string {
	for _, name := range []string{path, filepath.Dir(path)} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm()&0o040 == 0 {
			continue
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			if g, err := user.LookupGroupId(strconv.FormatUint(uint64(st.Gid), 10)); err == nil && g.Gid != "0" {
				return " or as a member of the group " + g.Name + " (usermod -aG " + g.Name + " USER, then log in again)"
			}
		}
	}
	return ""
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = &os.PathError{Op: "read", Path: path, Err: errors.New("it is larger than 1 MiB")}
	}
	return data, err
}

// Parse reads a configuration from data. name is the file it came from: it stands in faults, and relative paths start
// in its directory. env looks up environment variables, as os.LookupEnv does.
func Parse(name string, data []byte, env func(string) (string, bool)) (*Config, error) {
	c, _, err := parse(name, data, env, false)
	return c, err
}

func parse(name string, data []byte, env func(string) (string, bool), operator bool) (*Config, bool, error) {
	d, c := decode(name, data, env, operator)
	if len(d.faults) > 0 {
		return nil, false, d.faults.sorted()
	}
	c.Warnings = d.warnings
	c.again = func() (*Config, error) {
		fresh, _, err := parse(name, data, env, operator)
		return fresh, err
	}
	return c, d.inline, nil
}

// decode decodes and checks; the faults are the decoder's. What had one stands in the result as it was before.
func decode(name string, data []byte, env func(string) (string, bool), operator bool) (*decoder, *Config) {
	dir := filepath.Dir(name)
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs // commands may change directory, and a unit may have another
	}
	d := &decoder{file: name, dir: dir, env: env, operator: operator, at: map[string]place{}, secrets: map[string]SecretRef{}}
	c := Default()
	c.File = name
	root, ok := d.document(data)
	if !ok {
		return d, &c
	}
	if root != nil {
		// Relative paths among the defaults there are none of; what the file sets is resolved as it is decoded.
		d.object(target(root), reflect.ValueOf(&c).Elem(), "")
	}
	d.check(&c)
	return d, &c
}

// Reach returns where the daemon of a configuration can be reached and which state file it holds, as well as that can be told of a
// file with faults: a daemon that runs with an earlier version of it may be asked how it is.
func Reach(path string) (socket, state string) {
	data, err := readFile(path)
	if err != nil {
		data = nil
	}
	_, c := decode(path, data, operatorEnv, true)
	return c.Admin.Socket, c.State()
}

// document parses the YAML and returns the top of its only document; nil when there is none.
func (d *decoder) document(data []byte) (*yaml.Node, bool) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // some editors begin UTF-8 with a mark
	if i := invalidUTF8(data); i >= 0 {
		line, column := position(data, i)
		d.faults = append(d.faults, Fault{File: d.file, Line: line, Column: column, Problem: "the file is not UTF-8", Remedy: "save it as UTF-8"})
		return nil, false
	}
	// Two documents would hide one; the decoder is asked for a second to see.
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var docs []*yaml.Node
	for {
		var n yaml.Node
		err := dec.Decode(&n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			d.syntax(data, err)
			return nil, false
		}
		docs = append(docs, &n)
		if len(docs) == 2 {
			d.fault(&n, "", "", "a second document begins here (---)", "keep one document in a file")
			return nil, false
		}
	}
	if len(docs) == 0 || len(docs[0].Content) == 0 {
		return nil, true
	}
	top := docs[0].Content[0]
	if n := tooLarge(top); n != nil {
		d.fault(n, "", "", "aliases (*) make the file grow out of all proportion, or contain themselves", "write the values out")
		return nil, false
	}
	return top, true
}

func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size <= 1 || r == 0 {
			return i
		}
		i += size
	}
	return -1
}

// position returns the line and column, from 1, of a byte.
func position(data []byte, i int) (line, column int) {
	before := data[:i]
	return bytes.Count(before, []byte("\n")) + 1, i - bytes.LastIndexByte(before, '\n')
}

var (
	syntaxLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	tabIndent  = regexp.MustCompile(`(?m)^ *\t`)

	unknownAnchor = regexp.MustCompile(`unknown anchor '(.+)' referenced`)
)

// unquoted are values that YAML does not take as they are, which people write all the same, and what they should write.
var unquoted = []struct {
	value           *regexp.Regexp // its first group is the value
	problem, remedy string
}{
	{regexp.MustCompile(`(?m)^[^#\n]*\{[^}#"'\n]*:[ \t]+(\$\{)`), "a ${NAME} within braces is not in quotes", `put it in quotes: {api_key: "${NAME}"}`},
	{regexp.MustCompile(`(?m)^[^#"'\n]*:[ \t]+(\*)[^\w]`), "a value that begins with * is not in quotes", `put it in quotes: "*/5 * * * *"`},
}

// syntax notes what the YAML parser stumbled over. Its words are passed on only where they cannot hold a piece of the file.
func (d *decoder) syntax(data []byte, err error) {
	for _, u := range unquoted {
		if at := u.value.FindSubmatchIndex(data); at != nil {
			line, column := position(data, at[2])
			d.faults = append(d.faults, Fault{File: d.file, Line: line, Column: column, Problem: u.problem, Remedy: u.remedy})
			return
		}
	}
	f := Fault{File: d.file, Line: 1, Column: 1, Problem: "this is not YAML", Remedy: "look at the indentation, colons and quotes here and just above"}
	if m := syntaxLine.FindStringSubmatch(err.Error()); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			f.Line = n
		}
		f.Problem += ": " + m[2]
		switch {
		case strings.Contains(m[2], "unknown anchor"):
			f.Problem, f.Remedy = "this is not YAML: an alias (*) names nothing", "put a value that begins with * in quotes"
			f.Line = 0
			if a := unknownAnchor.FindStringSubmatch(m[2]); a != nil {
				if i := bytes.Index(data, []byte("*"+a[1])); i >= 0 {
					f.Line, f.Column = position(data, i)
				}
			}
			if f.Line == 0 {
				f.Column = 0
			}
			d.faults = append(d.faults, f)
			return
		case strings.Contains(m[2], "tab character"), strings.Contains(m[2], "cannot start any token"):
			f.Remedy = "put a value that begins with a special character in quotes"
		}
	}
	if tab := tabIndent.FindIndex(data); tab != nil {
		f.Line, f.Column = position(data, tab[1]-1)
		f.Problem, f.Remedy = "a tab indents this line", "YAML wants spaces"
	} else if lines := bytes.Split(data, []byte("\n")); f.Line > 0 && f.Line <= len(lines) {
		text := lines[f.Line-1]
		f.Column = len(text) - len(bytes.TrimLeft(text, " \t")) + 1
	}
	d.faults = append(d.faults, f)
}

// tooLarge returns a node whose aliases, written out, would be absurdly many or endless; nil if there is none.
func tooLarge(top *yaml.Node) *yaml.Node {
	const most, endless = 100_000, -1
	sizes := map[*yaml.Node]int{}
	var culprit *yaml.Node
	var size func(n *yaml.Node) int
	size = func(n *yaml.Node) int {
		switch s := sizes[n]; {
		case s == endless:
			culprit = n
			return most + 1
		case s > 0:
			return s
		}
		sizes[n] = endless
		s := 1
		if n.Kind == yaml.AliasNode {
			s += size(n.Alias)
		}
		for _, c := range n.Content {
			s = min(s+size(c), most+1)
		}
		if s > most && culprit == nil {
			culprit = n
		}
		sizes[n] = s
		return s
	}
	size(top)
	return culprit
}
