package coatcheck_test

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/build"
	"go/doc"
	"go/format"
	"go/parser"
	"go/printer"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// update rewrites the golden files of this package's tests instead of comparing
// with them: go test -run TestAPI . -update
var update = flag.Bool("update", false, "rewrite golden files")

// TestAPI compares what each package exports with api/, so that a change of the
// API is a line in a diff and never a surprise.
func TestAPI(t *testing.T) {
	const remedy = "go test -run TestAPI . -update"
	wanted := map[string]string{}
	for _, dir := range importableDirs(t) {
		source, err := platformFiles(dir)
		if err != nil {
			t.Fatal(err)
		}
		text, err := apiText(filepath.ToSlash(filepath.Join(houseModule, dir)), source)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.ReplaceAll(strings.TrimPrefix(dir, "./"), "/", "-")
		if dir == "." {
			name = "coatcheck"
		}
		wanted[filepath.Join("api", name+".txt")] = text
	}
	if *update {
		rewriteAPI(t, wanted)
	}
	golden, err := filepath.Glob("api/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range golden {
		if _, found := wanted[name]; !found {
			t.Errorf("%s describes a package that is gone: %s", name, remedy)
		}
	}
	for name, now := range wanted {
		then, err := os.ReadFile(name)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if changes := lineChanges(string(then), now); changes != "" {
			t.Errorf("%s is no longer what the package exports:\n%sIf that is meant, run: %s", name, changes, remedy)
		}
	}
}

func rewriteAPI(t *testing.T, wanted map[string]string) {
	t.Helper()
	if err := os.RemoveAll("api"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("api", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range wanted {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// importableDirs are the directories of the packages that users can import.
func importableDirs(t *testing.T) []string {
	t.Helper()
	tree, err := readHouse(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	dirs := map[string]bool{}
	for dir, files := range tree.packages() {
		if importable(files[0]) {
			dirs[dir] = true
		}
	}
	return slices.Sorted(maps.Keys(dirs))
}

// platformFiles reads the files of one platform, the same on every machine, so
// that what each system does its own way is listed once.
func platformFiles(dir string) (map[string]string, error) {
	platform := build.Default
	platform.GOOS, platform.GOARCH, platform.CgoEnabled = "linux", "amd64", false
	pkg, err := platform.ImportDir(dir, 0)
	if err != nil {
		return nil, err
	}
	source := map[string]string{}
	for _, name := range pkg.GoFiles {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		source[name] = string(text)
	}
	return source, nil
}

// apiText writes what a package exports as Go declarations without comments: in
// the order of the source for values, by name for the rest, so that nothing but
// a change of the API changes the text.
func apiText(imported string, source map[string]string) (string, error) {
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range slices.Sorted(maps.Keys(source)) {
		file, err := parser.ParseFile(fset, name, source[name], parser.SkipObjectResolution)
		if err != nil {
			return "", err
		}
		files = append(files, file)
	}
	pkg, err := doc.NewFromFiles(fset, files, imported)
	if err != nil {
		return "", err
	}
	text := &apiWriter{fset: fset}
	fmt.Fprintf(&text.out, "package %s // import %q\n", pkg.Name, imported)
	text.values(pkg.Consts)
	text.values(pkg.Vars)
	text.funcs(pkg.Funcs)
	for _, kind := range pkg.Types {
		text.declare(kind.Decl)
		text.values(kind.Consts)
		text.values(kind.Vars)
		text.funcs(kind.Funcs)
		text.funcs(kind.Methods)
	}
	return text.out.String(), text.err
}

// apiWriter writes declarations and keeps the first error.
type apiWriter struct {
	fset *token.FileSet
	out  bytes.Buffer
	err  error
}

func (text *apiWriter) values(values []*doc.Value) {
	for _, value := range values {
		text.declare(value.Decl)
	}
}

func (text *apiWriter) funcs(funcs []*doc.Func) {
	for _, function := range funcs {
		text.declare(function.Decl)
	}
}

// declare writes one declaration after an empty line, and none within it: where
// comments stood, the printer leaves gaps, which would change with them.
func (text *apiWriter) declare(declaration ast.Decl) {
	dropErrorTexts(declaration)
	var printed bytes.Buffer
	if err := printer.Fprint(&printed, text.fset, declaration); err != nil {
		text.err = err
		return
	}
	dense := "package p\n"
	for line := range strings.Lines(printed.String()) {
		if strings.TrimSpace(line) != "" {
			dense += line
		}
	}
	formatted, err := format.Source([]byte(dense))
	if err != nil {
		text.err = err
		return
	}
	_, body, _ := strings.Cut(string(formatted), "package p\n")
	fmt.Fprintf(&text.out, "\n%s\n", strings.TrimSpace(body))
}

// dropErrorTexts declares an error by its type: its words are no promise.
func dropErrorTexts(declaration ast.Decl) {
	ast.Inspect(declaration, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		call, ok := spec.Values[0].(*ast.CallExpr)
		if !ok {
			return true
		}
		if maker := types.ExprString(call.Fun); maker == "errors.New" || maker == "fmt.Errorf" {
			spec.Type, spec.Values = ast.NewIdent("error"), nil
		}
		return true
	})
}

// lineChanges lists the lines that were taken out of then (-) and put into now
// (+), in order; nothing if both are equal.
func lineChanges(then, now string) string {
	before, after := slices.Collect(strings.Lines(then)), slices.Collect(strings.Lines(now))
	// longest[i][j] is the length of the longest common subsequence of
	// before[i:] and after[j:].
	longest := make([][]int, len(before)+1)
	longest[len(before)] = make([]int, len(after)+1)
	for i := len(before) - 1; i >= 0; i-- {
		longest[i] = make([]int, len(after)+1)
		for j := len(after) - 1; j >= 0; j-- {
			if before[i] == after[j] {
				longest[i][j] = longest[i+1][j+1] + 1
			} else {
				longest[i][j] = max(longest[i+1][j], longest[i][j+1])
			}
		}
	}
	var changes strings.Builder
	i, j := 0, 0
	for i < len(before) || j < len(after) {
		switch {
		case i < len(before) && j < len(after) && before[i] == after[j]:
			i, j = i+1, j+1
		case i < len(before) && (j == len(after) || longest[i+1][j] >= longest[i][j+1]):
			fmt.Fprintf(&changes, "- %s\n", strings.TrimSuffix(before[i], "\n"))
			i++
		default:
			fmt.Fprintf(&changes, "+ %s\n", strings.TrimSuffix(after[j], "\n"))
			j++
		}
	}
	return changes.String()
}

func TestAPITextIsWhatUsersCanReach(t *testing.T) {
	source := map[string]string{
		"b.go": "package tag\n\n// New makes a Tag.\nfunc New(name string) (*Tag, error) { return nil, nil }\n\nfunc hidden() {}\n",
		"a.go": "// Package tag is.\npackage tag\n\nimport \"errors\"\n\n" +
			"// The errors.\nvar (\n\t// ErrLost: gone.\n\tErrLost = errors.New(\"lost\")\n\terrHidden = errors.New(\"hidden\")\n\n\t// Limit bounds.\n\tLimit = 1 << 10\n)\n\n" +
			"// Tag is one.\ntype Tag struct {\n\t// Name is it.\n\tName string // in full\n\n\t// Long is long.\n\tLonger int\n\tsecret []byte\n}\n\n" +
			"// Read reads.\nfunc (t *Tag) Read(\n\tp []byte,\n) error {\n\treturn nil\n}\n\nfunc (t *Tag) read() {}\n",
	}
	want := `package tag // import "example.org/tag"

var (
	ErrLost error
	Limit   = 1 << 10
)

type Tag struct {
	Name   string
	Longer int
	// contains filtered or unexported fields
}

func New(name string) (*Tag, error)

func (t *Tag) Read(
	p []byte,
) error
`
	got, err := apiText("example.org/tag", source)
	if err != nil {
		t.Fatal(err)
	}
	if changes := lineChanges(want, got); changes != "" {
		t.Errorf("unexpected text:\n%s", changes)
	}

	for name, text := range source {
		source[name] = strings.ReplaceAll(text, "// ", "//\n// So: ")
	}
	commented, err := apiText("example.org/tag", source)
	if err != nil {
		t.Fatal(err)
	}
	if commented != got {
		t.Errorf("comments change the text:\n%s", lineChanges(got, commented))
	}
}

func TestLineChangesNameWhatCameAndWent(t *testing.T) {
	for _, c := range []struct{ name, then, now, want string }{
		{"equal", "a\nb\n", "a\nb\n", ""},
		{"added", "a\nc\n", "a\nb\nc\n", "+ b\n"},
		{"removed", "a\nb\nc\n", "a\nc\n", "- b\n"},
		{"changed", "a\nb\nc\n", "a\nx\nc\n", "- b\n+ x\n"},
		{"all new", "", "a\n", "+ a\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := lineChanges(c.then, c.now); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
