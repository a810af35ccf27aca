package pgstore_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/coatcheck/coatcheck/store/pgstore"
)

// The manual shows the schema and the rights that are tested.
func TestTheManualShowsTheSchema(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations/postgres.md")
	if err != nil {
		t.Fatal(err)
	}
	for what, sql := range map[string]string{
		"pgstore.Schema": pgstore.Schema("coatcheck"),
		"the grants":     fmt.Sprintf(grants, "coatcheck"),
	} {
		if !strings.Contains(string(text), sql) {
			t.Errorf("docs/operations/postgres.md does not show %s, which is\n%s", what, sql)
		}
	}
}
