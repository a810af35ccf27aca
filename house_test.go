package coatcheck_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// houseRule is one rule that the source of every module keeps, and changes to
// an orderly tree that break it: each maps paths to the text to plant there.
type houseRule struct {
	check   func(*houseTree) []string
	planted map[string]map[string]string
}

var houseRules = map[string]houseRule{
	"imports follow the drawing": {importsFollowTheDrawing, map[string]map[string]string{
		"the root imports cmd":            {"a.go": imports("coatcheck", "cmd/internal/app")},
		"a test imports cmd":              {"a_test.go": imports("coatcheck_test", "cmd/internal/app")},
		"bench imports cmd":               {"bench/a.go": imports("bench", "cmd/internal/app")},
		"cmd imports bench":               {"cmd/a.go": imports("cmd", "bench")},
		"the root imports a store module": {"a.go": imports("coatcheck", "store/sqlitestore")},
		"a root test imports one":         {"a_test.go": imports("coatcheck_test", "store/sqlitestore")},
		"the contract imports a store":    {"store/a.go": imports("store", "store/memstore")},
		"memstore imports the manager":    {"store/memstore/a.go": imports("memstore", "")},
		"the kit imports a store":         {"store/storetest/a.go": imports("storetest", "store/memstore")},
		"a store imports the manager":     {"store/sqlitestore/a.go": imports("sqlitestore", "")},
		"its test imports the manager":    {"store/sqlitestore/a_test.go": imports("sqlitestore_test", "")},
		"a store imports internals":       {"store/redisstore/a.go": imports("redisstore", "internal/seal")},
		"a store imports another":         {"store/pgstore/a.go": imports("pgstore", "store/sqlitestore")},
		"a store's code imports the kit":  {"store/pgstore/a.go": imports("pgstore", "store/storetest")},
		"dbsc imports the manager":        {"dbsc/a.go": imports("dbsc", "")},
		"an internal imports the manager": {"internal/seal/a.go": imports("seal", "")},
		"a package nobody drew":           {"extra/a.go": "// Package extra is.\npackage extra\n"},
	}},
	"the root is standard library only": {rootIsStandardLibraryOnly, map[string]map[string]string{
		"an import":           {"internal/seal/a.go": "package seal\nimport _ \"golang.org/x/crypto/argon2\"\n"},
		"a test's import":     {"a_test.go": "package coatcheck_test\nimport _ \"github.com/google/go-cmp/cmp\"\n"},
		"cgo":                 {"a.go": "package coatcheck\nimport \"C\"\n"},
		"a requirement":       {"go.mod": "module " + houseModule + "\n\ngo 1.26\n\nrequire golang.org/x/mod v0.1.0\n"},
		"a block of them":     {"go.mod": "module " + houseModule + "\n\ngo 1.26\n\nrequire (\n\tgolang.org/x/mod v0.1.0\n)\n"},
		"a tool's dependency": {"go.mod": "module " + houseModule + "\n\ngo 1.26\n\ntool golang.org/x/tools/cmd/stringer\n"},
	}},
	"one comment per package": {oneCommentPerPackage, map[string]map[string]string{
		"none":            {"dbsc/doc.go": "package dbsc\n"},
		"two":             {"dbsc/a.go": "// Package dbsc is.\npackage dbsc\n"},
		"another's name":  {"dbsc/doc.go": "// Package bdsc is.\npackage dbsc\n"},
		"none for a main": {"cmd/coatcheck/main.go": "package main\n"},
	}},
	"everything exported is documented": {everythingExportedIsDocumented, map[string]map[string]string{
		"a function":           {"a.go": "package coatcheck\nfunc New() {}\n"},
		"a type":               {"a.go": "package coatcheck\ntype Manager struct{}\n"},
		"a method":             {"a.go": "package coatcheck\nfunc (k *Key[T]) Get() {}\n"},
		"one error of several": {"a.go": "package coatcheck\nvar (\n\t// ErrA is.\n\tErrA error\n\tErrB error\n)\n"},
		"a constant":           {"store/a.go": "package store\nconst Max = 1\n"},
	}},
	"files and functions are small": {filesAndFunctionsAreSmall, map[string]map[string]string{
		"a file":              {"a.go": "package coatcheck\n" + strings.Repeat("\n", mostFileLines-1)},
		"a function":          {"cmd/a.go": "package cmd\nfunc f() {" + strings.Repeat("\n", mostFuncLines-1) + "}\n"},
		"a test":              {"a_test.go": "package coatcheck_test\nfunc f() {" + strings.Repeat("\n", mostFuncLines-1) + "}\n"},
		"a function variable": {"bench/a.go": "package bench\nvar f = func() {" + strings.Repeat("\n", mostFuncLines-1) + "}\n"},
	}},
	"skips can be forbidden": {skipsCanBeForbidden, map[string]map[string]string{
		"a bare skip":              {"a_test.go": "package coatcheck_test\nimport \"testing\"\nfunc TestA(t *testing.T) { t.Skip() }\n"},
		"a formatted one":          {"cmd/a_test.go": "package cmd_test\nimport \"testing\"\nfunc find(tb testing.TB) { tb.Skipf(\"no browser\") }\n"},
		"asked in another place":   {"a_test.go": "package coatcheck_test\nimport (\"os\"; \"testing\")\nvar all = os.Getenv(\"COATCHECK_REQUIRE_ALL\")\nfunc TestA(t *testing.T) { t.SkipNow() }\n"},
		"in a kit, not in a test":  {"store/storetest/a.go": "package storetest\nimport \"testing\"\nfunc Run(t *testing.T) { t.Skip() }\n"},
		"in a function's variable": {"a_test.go": "package coatcheck_test\nimport \"testing\"\nvar skip = func(t *testing.T) { t.Skip() }\n"},
	}},
	"secrets are drawn by crypto/rand": {secretsAreDrawnByCryptoRand, map[string]map[string]string{
		"a secret": {"internal/secret/a.go": "package secret\nimport _ \"math/rand/v2\"\n"},
		"a ticket": {"dbsc/a.go": "package dbsc\nimport _ \"math/rand\"\n"},
	}},
	"packages are named for what they hold": {packagesAreNamedForWhatTheyHold, map[string]map[string]string{
		"a package":   {"internal/seal/a.go": "package utils\n"},
		"a directory": {"internal/helpers/a.go": "package seal\n"},
		"of tests":    {"internal/seal/a_test.go": "package common_test\n"},
	}},
	"nothing is left undone": {nothingIsLeftUndone, map[string]map[string]string{
		"in a comment": {"a.go": "package coatcheck\n\n// FIXME: later\n"},
		"in a body":    {"cmd/a.go": "package cmd\nfunc f() {\n\t/* XXX */\n}\n"},
		"in a text":    {"docs/operations.md": "# Backups\n\nTODO\n"},
		"in a script":  {"script/test": "#!/bin/sh\n# HACK\n"},
	}},
	"modules are listed": {modulesAreListed, map[string]map[string]string{
		"not in the workspace": {"go.work": "go 1.26\n\nuse .\n"},
		"in another order":     {"allmodules": ".\n./store/sqlitestore\n./cmd\n"},
		"in neither":           {"store/pgstore/go.mod": "module " + houseModule + "/store/pgstore\n\nreplace " + houseModule + " => ../..\n"},
		"bench listed": {
			"allmodules": ".\n./cmd\n./store/sqlitestore\n./bench\n",
			"go.work":    "go 1.26\n\nuse (\n\t.\n\t./cmd\n\t./store/sqlitestore\n\t./bench\n)\n",
		},
		"built against a release": {"cmd/go.mod": "module " + houseModule + "/cmd\n\nrequire " + houseModule + " v0.1.0\n"},
	}},
}

// orderly is a small tree that keeps every rule and comes close to breaking
// some.
func orderly() map[string]string {
	skip := "func find(t *testing.T) {\n\tif os.Getenv(\"COATCHECK_REQUIRE_ALL\") == \"1\" {\n\t\tt.Fatal()\n\t}\n\tt.Skip()\n}\n"
	return map[string]string{
		"go.mod":     "module " + houseModule + "\n\ngo 1.26\n",
		"go.work":    "go 1.26\n\nuse (\n\t.\n\t./cmd\n\t./store/sqlitestore\n)\n",
		"allmodules": ".\n./cmd\n./store/sqlitestore\n",

		"doc.go":                    "// Package coatcheck is.\n" + imports("coatcheck", "store", "store/memstore", "dbsc", "internal/seal") + "// K is.\ntype K struct{}\n\nfunc (k key) Get() {}\n\nfunc (k K) Error() string { return \"\" }\n",
		"doc_test.go":               imports("coatcheck_test", "", "coatchecktest", "store/storetest"),
		"internal/seal/doc.go":      "// Package seal is.\npackage seal\nfunc Seal() {" + strings.Repeat("\n", mostFuncLines-2) + "}\n",
		"dbsc/doc.go":               "// Package dbsc is.\npackage dbsc\n\n// Levels of use.\nconst (\n\tPrefer = 1\n\tRequire = 2\n)\n",
		"store/doc.go":              "// Package store is.\npackage store\n",
		"store/memstore/doc.go":     "// Package memstore is.\n" + imports("memstore", "store"),
		"store/memstore/a_test.go":  imports("memstore_test", "store/storetest"),
		"store/storetest/doc.go":    "// Package storetest is.\n" + imports("storetest", "store"),
		"store/storetest/a_test.go": imports("storetest_test", "store/memstore"),

		"store/sqlitestore/go.mod":    "module " + houseModule + "/store/sqlitestore\n\nrequire " + houseModule + " v0.0.0\n\nreplace " + houseModule + " => ../..\n",
		"store/sqlitestore/doc.go":    "// Package sqlitestore is.\npackage sqlitestore\nimport (\n\t_ \"modernc.org/sqlite\"\n\t_ \"" + houseModule + "/store\"\n)\n",
		"store/sqlitestore/a_test.go": imports("sqlitestore_test", "store/storetest", "store/memstore"),

		"cmd/go.mod":               "module " + houseModule + "/cmd\n\nreplace " + houseModule + " => ..\n",
		"cmd/coatcheck/main.go":    "// Coatcheck keeps sessions.\n" + imports("main", "", "store/sqlitestore", "cmd/internal/app"),
		"cmd/coatcheck/a_test.go":  "package main_test\nimport (\"os\"; \"testing\")\n" + skip,
		"cmd/internal/app/doc.go":  "// Package app is.\npackage app\nfunc Run() {}\n",
		"cmd/testdata/broken.go":   "package",
		"bench/go.mod":             "module " + houseModule + "/bench\n\nreplace " + houseModule + " => ..\n",
		"bench/doc.go":             "// Package bench is.\n" + imports("bench", "", "store/redisstore"),
		"internal/seal/zz_made.go": "// Code generated by hand. DO NOT EDIT.\n\npackage utils\n",
	}
}

// imports is a file of a package that imports directories of the project.
func imports(name string, dirs ...string) string {
	text := "package " + name + "\n"
	for _, dir := range dirs {
		text += fmt.Sprintf("import _ %q\n", strings.TrimSuffix(houseModule+"/"+dir, "/"))
	}
	return text
}

func TestHouseIsInOrder(t *testing.T) {
	tree, err := readHouse(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	for name, rule := range houseRules {
		t.Run(name, func(t *testing.T) {
			for _, complaint := range rule.check(tree) {
				t.Error(complaint)
			}
		})
	}
}

func TestHouseRulesNoticeWhatBreaksThem(t *testing.T) {
	for name, rule := range houseRules {
		t.Run(name, func(t *testing.T) {
			if complaints := rule.check(houseWith(t, nil)); len(complaints) > 0 {
				t.Fatalf("an orderly tree is refused: %q", complaints)
			}
			for what, planted := range rule.planted {
				if complaints := rule.check(houseWith(t, planted)); len(complaints) != 1 {
					t.Errorf("%s: %d complaints, want 1: %q", what, len(complaints), complaints)
				}
			}
		})
	}
}

// houseWith is the orderly tree with some files added or replaced.
func houseWith(t *testing.T, planted map[string]string) *houseTree {
	t.Helper()
	texts := orderly()
	for name, text := range planted {
		texts[name] = text
	}
	files := fstest.MapFS{}
	for name, text := range texts {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	tree, err := readHouse(files)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}
