// Package everystore proves what a site with sessions may rely on whichever
// store it has chosen: it runs managers on every store there is, against the
// real servers, which it starts. It has tests only.
//
// load_test.go sends visitors through two nodes at once, that is two managers
// with a handle on the store each. What the visitors do is drawn from a seed.
// checker_test.go knows what must be true of the answers, whatever order things
// came in, and wrong_test.go proves that it notices, with stores made wrong on
// purpose. dump_test.go takes dumps by the tools of each store and looks for
// secrets in them. operator_test.go runs the command `coatcheck sessions`
// beside a working site, and restarts the demo.
//
// stores_test.go lists the stores; servers_test.go starts their servers.
//
// Two variables of the environment lengthen and repeat the load:
//
//	COATCHECK_LOAD=10m   how long each store is under load
//	COATCHECK_SEED=1234  draw from this seed again, which a failure names
//
// The order in which goroutines run is no part of the seed, so a rare failure
// may need several tries.
package everystore
