package coatcheck_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// houseTree is the source of all modules of the project as the house rules see
// it: parsed, never built, so that a rule can be tried on a few lines in memory.
type houseTree struct {
	fset  *token.FileSet
	files []houseFile
	texts map[string]string // what is not Go but read by people or run, by path
}

// houseFile is one Go file. Directories are slash-separated paths from the
// root, "." being the root itself.
type houseFile struct {
	path   string
	dir    string
	module string // the directory of its go.mod
	test   bool
	lines  int
	syntax *ast.File
}

// readHouse parses what a module of the project may consist of: not testdata,
// nor what the go command ignores, nor generated files.
func readHouse(root fs.FS) (*houseTree, error) {
	tree := &houseTree{fset: token.NewFileSet(), texts: map[string]string{}}
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return enterDir(name)
		case !isSource(name):
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		if path.Ext(name) != ".go" {
			tree.texts[name] = string(text)
			return nil
		}
		return tree.addGo(name, text)
	})
	if err != nil {
		return nil, err
	}
	for i := range tree.files {
		tree.files[i].module = tree.moduleOf(tree.files[i].dir)
	}
	return tree, nil
}

func enterDir(name string) error {
	base := path.Base(name)
	hidden := strings.HasPrefix(base, ".") && name != "." && name != ".ci" && name != ".github"
	if hidden || strings.HasPrefix(base, "_") || base == "testdata" || base == "node_modules" || name == "screenshots" {
		return fs.SkipDir
	}
	return nil
}

func isSource(name string) bool {
	switch path.Ext(name) {
	case ".go", ".mod", ".work", ".md", ".html", ".css", ".js", ".yml", ".sh":
		return true
	}
	return name == "allmodules" || strings.HasPrefix(name, "script/") || strings.HasPrefix(name, ".ci/")
}

func (tree *houseTree) addGo(name string, text []byte) error {
	syntax, err := parser.ParseFile(tree.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	if ast.IsGenerated(syntax) {
		return nil
	}
	tree.files = append(tree.files, houseFile{
		path:   name,
		dir:    path.Dir(name),
		test:   strings.HasSuffix(name, "_test.go"),
		lines:  bytes.Count(text, []byte("\n")),
		syntax: syntax,
	})
	return nil
}

// moduleOf returns the directory of the nearest go.mod at dir or above it.
func (tree *houseTree) moduleOf(dir string) string {
	for ; dir != "."; dir = path.Dir(dir) {
		if _, found := tree.texts[path.Join(dir, "go.mod")]; found {
			return dir
		}
	}
	return "."
}

// modules returns the directory of every go.mod, sorted.
func (tree *houseTree) modules() []string {
	var dirs []string
	for name := range tree.texts {
		if path.Base(name) == "go.mod" {
			dirs = append(dirs, path.Dir(name))
		}
	}
	slices.Sort(dirs)
	return dirs
}

// packages returns the files of each package that can be imported or run, by
// directory. Files of an external test package are none of it.
func (tree *houseTree) packages() map[string][]houseFile {
	packages := map[string][]houseFile{}
	for _, file := range tree.files {
		if !file.test {
			packages[file.dir] = append(packages[file.dir], file)
		}
	}
	return packages
}

// at writes a place in the source as editors understand it.
func (tree *houseTree) at(place token.Pos, format string, args ...any) string {
	position := tree.fset.Position(place)
	return fmt.Sprintf("%s:%d: ", position.Filename, position.Line) + fmt.Sprintf(format, args...)
}
