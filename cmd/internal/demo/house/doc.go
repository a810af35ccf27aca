// Package house is the business of the demo site's fictional house, The Coat
// Check: its goods, its carts and orders, its customers' accounts, their
// wallets. It knows nothing of HTTP and nothing of sessions, and everything it
// holds is in memory and gone when the program ends.
//
// Start at [Goods] and [Cart] for the shop, [Ledger] for the wallet,
// [Accounts] for passwords and [Attempts] for the limit on guessing them. What
// must happen once takes an id chosen beforehand, so that asking twice is
// harmless: [Ledger.Move], [Orders.Place].
package house
