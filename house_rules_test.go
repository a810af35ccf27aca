package coatcheck_test

import (
	"fmt"
	"go/ast"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	mostFileLines  = 600
	mostFuncLines  = 80
	requireAllName = "COATCHECK_REQUIRE_ALL"
)

// oneCommentPerPackage: exactly one file says what the package is for and what
// to use first, where go doc shows it.
func oneCommentPerPackage(tree *houseTree) (broken []string) {
	for _, dir := range slices.Sorted(maps.Keys(tree.packages())) {
		files := tree.packages()[dir]
		var commented []string
		for _, file := range files {
			if file.syntax.Doc == nil {
				continue
			}
			commented = append(commented, file.path)
			name := file.syntax.Name.Name
			if name != "main" && !strings.HasPrefix(file.syntax.Doc.Text(), "Package "+name+" ") {
				broken = append(broken, tree.at(file.syntax.Doc.Pos(), "the package comment begins \"Package %s\"", name))
			}
		}
		switch len(commented) {
		case 1:
		case 0:
			broken = append(broken, dir+": the package has no comment")
		default:
			broken = append(broken, fmt.Sprintf("%s: the package has %d comments: %s", dir, len(commented), strings.Join(commented, ", ")))
		}
	}
	return broken
}

// everythingExportedIsDocumented where others can import it. What makes a type
// an error needs no words.
func everythingExportedIsDocumented(tree *houseTree) (broken []string) {
	for _, file := range tree.files {
		if file.test || !importable(file) {
			continue
		}
		for _, declaration := range file.syntax.Decls {
			for _, name := range undocumented(declaration) {
				broken = append(broken, tree.at(name.Pos(), "%s is exported and says nothing about itself", name.Name))
			}
		}
	}
	return broken
}

// importable reports whether other modules can import the file's package.
func importable(file houseFile) bool {
	internal := slices.Contains(strings.Split(file.dir, "/"), "internal")
	return !internal && file.syntax.Name.Name != "main" && file.module != "cmd" && file.module != "bench"
}

func undocumented(declaration ast.Decl) (names []*ast.Ident) {
	switch declaration := declaration.(type) {
	case *ast.FuncDecl:
		if declaration.Doc == nil && (declaration.Recv == nil || receiverIsExported(declaration.Recv.List[0].Type)) {
			names = append(names, declaration.Name)
		}
	case *ast.GenDecl:
		if declaration.Doc != nil {
			return nil
		}
		for _, spec := range declaration.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if spec.Doc == nil {
					names = append(names, spec.Name)
				}
			case *ast.ValueSpec:
				if spec.Doc == nil && spec.Comment == nil {
					names = append(names, spec.Names...)
				}
			}
		}
	}
	return slices.DeleteFunc(names, func(name *ast.Ident) bool {
		return !name.IsExported() || name.Name == "Error" || name.Name == "Unwrap"
	})
}

func receiverIsExported(receiver ast.Expr) bool {
	switch receiver := receiver.(type) {
	case *ast.StarExpr:
		return receiverIsExported(receiver.X)
	case *ast.IndexExpr:
		return receiverIsExported(receiver.X)
	case *ast.IndexListExpr:
		return receiverIsExported(receiver.X)
	case *ast.Ident:
		return receiver.IsExported()
	}
	return false
}

// filesAndFunctionsAreSmall enough to be read in one go.
func filesAndFunctionsAreSmall(tree *houseTree) (broken []string) {
	for _, file := range tree.files {
		if file.lines >= mostFileLines {
			broken = append(broken, fmt.Sprintf("%s: %d lines, must be under %d: split it by topic", file.path, file.lines, mostFileLines))
		}
		ast.Inspect(file.syntax, func(node ast.Node) bool {
			switch node.(type) {
			case *ast.FuncDecl, *ast.FuncLit:
				lines := tree.fset.Position(node.End()).Line - tree.fset.Position(node.Pos()).Line + 1
				if lines >= mostFuncLines {
					broken = append(broken, tree.at(node.Pos(), "a function of %d lines, must be under %d", lines, mostFuncLines))
				}
				return false
			}
			return true
		})
	}
	return broken
}

// secretsAreDrawnByCryptoRand, which ends the program where it fails (F-37). What is
// drawn elsewhere, such as versions and pauses, is no secret.
func secretsAreDrawnByCryptoRand(tree *houseTree) (broken []string) {
	for _, file := range tree.files {
		if file.test || file.dir != "dbsc" && file.dir != "internal/secret" {
			continue
		}
		for _, spec := range file.syntax.Imports {
			if strings.HasPrefix(importPath(spec), "math/rand") {
				broken = append(broken, tree.at(spec.Pos(), "a secret that can be guessed: import crypto/rand"))
			}
		}
	}
	return broken
}

// skipsCanBeForbidden: a test may be skipped only where the same function turns
// the skip into a failure when everything is required.
func skipsCanBeForbidden(tree *houseTree) (broken []string) {
	for _, file := range tree.files {
		if !slices.ContainsFunc(file.syntax.Imports, func(spec *ast.ImportSpec) bool { return importPath(spec) == "testing" }) {
			continue
		}
		for _, declaration := range file.syntax.Decls {
			if asksWhetherAllIsRequired(declaration) {
				continue
			}
			ast.Inspect(declaration, func(node ast.Node) bool {
				if selector, ok := node.(*ast.SelectorExpr); ok && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, selector.Sel.Name) {
					broken = append(broken, tree.at(selector.Pos(), "a skip that %s=1 does not turn into a failure", requireAllName))
				}
				return true
			})
		}
	}
	return broken
}

func asksWhetherAllIsRequired(declaration ast.Decl) (asks bool) {
	ast.Inspect(declaration, func(node ast.Node) bool {
		literal, ok := node.(*ast.BasicLit)
		asks = asks || ok && literal.Value == strconv.Quote(requireAllName)
		return !asks
	})
	return asks
}

// packagesAreNamedForWhatTheyHold: a drawer for anything attracts everything.
func packagesAreNamedForWhatTheyHold(tree *houseTree) (broken []string) {
	drawers := []string{"util", "utils", "helper", "helpers", "common", "misc", "shared", "base", "lib", "types"}
	for _, file := range tree.files {
		name := strings.TrimSuffix(file.syntax.Name.Name, "_test")
		for _, candidate := range []string{name, path.Base(file.dir)} {
			if slices.Contains(drawers, candidate) {
				broken = append(broken, tree.at(file.syntax.Package, "a package named %s: name it for what it holds", candidate))
				break
			}
		}
	}
	return broken
}

// nothingIsLeftUndone: what is unfinished belongs in an issue.
func nothingIsLeftUndone(tree *houseTree) (broken []string) {
	mark := regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)
	for _, file := range tree.files {
		for _, group := range file.syntax.Comments {
			for _, comment := range group.List {
				if found := mark.FindString(comment.Text); found != "" {
					broken = append(broken, tree.at(comment.Pos(), "a mark of unfinished work: %s", found))
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(tree.texts)) {
		for number, line := range strings.Split(tree.texts[name], "\n") {
			if found := mark.FindString(line); found != "" {
				broken = append(broken, fmt.Sprintf("%s:%d: a mark of unfinished work: %s", name, number+1, found))
			}
		}
	}
	return broken
}

// modulesAreListed: go.work and allmodules name the same modules, each of which
// builds against this tree and not against a release. bench is in neither: one
// build list would let the peers it compares with change what our tests run.
func modulesAreListed(tree *houseTree) (broken []string) {
	listed := strings.Fields(tree.texts["allmodules"])
	var used []string
	for _, match := range regexp.MustCompile(`(?m)^\s*(?:use )?(\.\S*)\s*$`).FindAllStringSubmatch(tree.texts["go.work"], -1) {
		used = append(used, match[1])
	}
	if !slices.Equal(listed, used) {
		broken = append(broken, fmt.Sprintf("go.work uses %v, allmodules lists %v: they must be the same, in the same order", used, listed))
	}
	for _, dir := range tree.modules() {
		name := "./" + dir
		if dir == "." {
			name = dir
		}
		if wanted := dir != "bench"; slices.Contains(listed, name) != wanted {
			broken = append(broken, fmt.Sprintf("module %s: in allmodules: %t, should be: %t", name, !wanted, wanted))
		}
		if dir != "." && !replacesRoot(tree.texts[path.Join(dir, "go.mod")], strings.Count(name, "/")) {
			broken = append(broken, dir+"/go.mod: "+houseModule+" is not replaced by this tree")
		}
	}
	return broken
}

// replacesRoot reports whether a go.mod that lies so many directories deep puts
// the tree it lies in for the root module.
func replacesRoot(goMod string, depth int) bool {
	wanted := "replace " + houseModule + " => " + path.Clean(strings.Repeat("../", depth))
	return slices.ContainsFunc(strings.Split(goMod, "\n"), func(line string) bool {
		return strings.TrimSuffix(strings.TrimSpace(line), "/") == wanted
	})
}
