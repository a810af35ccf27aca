package pgstore_test

import (
	"testing"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/storetest"
)

// Two handles have nothing in common but the server.
func TestKeepsTheContract(t *testing.T) {
	server := startServer(t)
	storetest.Run(t, func(t *testing.T) (a, b store.Store) {
		schema := newSchema()
		return server.open(t, schema), server.open(t, schema)
	})
}
