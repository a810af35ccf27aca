package storetest_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
	"github.com/coatcheck/coatcheck/store/storetest"
)

// How does a handler behave when the store cannot be reached, and when a write
// happened but nobody was told?
func ExampleFaulty() {
	ctx := context.Background()
	st, faults := storetest.Faulty(memstore.New(nil))
	rec := session(1)

	unreachable := errors.New("connection refused")
	faults.Fail(storetest.Create, 1, unreachable)
	_, err := st.Create(ctx, rec, store.Terms{}, rec.Created)
	fmt.Println("first:", err)

	timeout := errors.New("no answer in time")
	faults.Lose(storetest.Create, 1, timeout)
	_, err = st.Create(ctx, rec, store.Terms{}, rec.Created)
	fmt.Println("second:", err)

	_, err = st.Create(ctx, rec, store.Terms{}, rec.Created)
	fmt.Println("third:", err)
	fmt.Println("calls:", faults.Calls(storetest.Create))
	// Output:
	// first: connection refused
	// second: no answer in time
	// third: store: a session of this id exists already
	// calls: 3
}
