package coatcheck_test

import (
	"fmt"
	"go/ast"
	"slices"
	"strconv"
	"strings"
)

const houseModule = "github.com/coatcheck/coatcheck"

// houseLayer says what some packages may import of the project. "x/..." means x
// and everything below.
type houseLayer struct {
	packages string
	imports  []string
}

// houseDrawing is the import graph. What is not drawn may not exist.
var houseDrawing = []houseLayer{
	{".", []string{"store", "store/memstore", "dbsc", "internal/..."}},
	{"coatchecktest", []string{".", "store", "store/memstore", "dbsc", "internal/..."}},
	{"dbsc/...", []string{"dbsc/...", "internal/..."}},
	{"audit/...", []string{"audit/...", "store", "internal/..."}},
	{"internal/...", []string{"internal/...", "store"}},
	{"script/...", nil},

	{"store", nil},
	{"store/memstore", []string{"store"}},
	{"store/storetest", []string{"store"}},
	{"store/sqlitestore/...", []string{"store", "store/sqlitestore/..."}},
	{"store/redisstore/...", []string{"store", "store/redisstore/..."}},
	{"store/pgstore/...", []string{"store", "store/pgstore/..."}},

	{"cmd/...", []string{"./..."}},
	{"bench/...", []string{"./..."}},
}

// houseKit is what the tests of every store may import besides.
var houseKit = []string{"store", "store/memstore", "store/storetest"}

// importsFollowTheDrawing: cmd -> everything; coatcheck -> store <- the stores;
// coatcheck -> dbsc; nothing imports cmd or bench; a store never knows the
// manager or the root's internals, nor the root a nested module. A workspace
// builds all of these happily, and only a user would notice.
func importsFollowTheDrawing(tree *houseTree) (broken []string) {
	for _, file := range tree.files {
		row := slices.IndexFunc(houseDrawing, func(row houseLayer) bool {
			return drawnIn([]string{row.packages}, file.dir)
		})
		if row < 0 {
			broken = append(broken, tree.at(file.syntax.Package, "package %s is not in houseDrawing: draw what it may import", file.dir))
			continue
		}
		for _, spec := range file.syntax.Imports {
			target, ours := projectDir(importPath(spec))
			if ours && target != file.dir && !tree.mayImport(file, houseDrawing[row].imports, target) {
				broken = append(broken, tree.at(spec.Pos(), "%s may not import %s", file.dir, target))
			}
		}
	}
	return broken
}

func (tree *houseTree) mayImport(file houseFile, drawn []string, target string) bool {
	for _, top := range []string{"cmd/...", "bench/..."} {
		if drawnIn([]string{top}, target) {
			return drawnIn([]string{top}, file.dir)
		}
	}
	switch {
	case file.test && file.module == ".":
		return tree.moduleOf(target) == "." // tests of the root see all of the root
	case file.test && drawnIn(houseKit, target):
		return true
	}
	return drawnIn(drawn, target)
}

func drawnIn(patterns []string, dir string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		parent, below := strings.CutSuffix(pattern, "/...")
		return dir == parent || below && (parent == "." || strings.HasPrefix(dir, parent+"/"))
	})
}

// projectDir tells where an import path of the project lies.
func projectDir(imported string) (dir string, ours bool) {
	if imported == houseModule {
		return ".", true
	}
	return strings.CutPrefix(imported, houseModule+"/")
}

func importPath(spec *ast.ImportSpec) string {
	imported, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return imported
}

// rootIsStandardLibraryOnly, its tests as well: whoever imports Coatcheck gets
// one line in go.mod and nothing else to trust.
func rootIsStandardLibraryOnly(tree *houseTree) (broken []string) {
	for _, file := range tree.files {
		if file.module != "." {
			continue
		}
		for _, spec := range file.syntax.Imports {
			imported := importPath(spec)
			if _, ours := projectDir(imported); ours {
				continue
			}
			first, _, _ := strings.Cut(imported, "/")
			if strings.Contains(first, ".") || imported == "C" {
				broken = append(broken, tree.at(spec.Pos(), "the root module imports %s: it has the standard library alone", imported))
			}
		}
	}
	for number, line := range strings.Split(tree.texts["go.mod"], "\n") {
		switch word, _, _ := strings.Cut(strings.TrimSpace(line), " "); word {
		case "", "module", "go", "//":
		default:
			return append(broken, fmt.Sprintf("go.mod:%d: %s: the root module requires nothing", number+1, line))
		}
	}
	return broken
}
