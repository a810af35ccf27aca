// Package coatcheck keeps sessions behind cookies that are right without
// options.
//
// A coat check takes your coat and hands you a ticket that says nothing about
// the coat. So does this: the browser gets a random token in a cookie that
// scripts and other sites cannot read; what it stands for stays in a store,
// and can be cancelled there.
//
// # Where to begin
//
// Make a [Manager] with [New]; the zero [Config] is the safe default. Wrap the
// mux with [Manager.Handler], or single functions with [Manager.HandlerFunc],
// and get a visitor's [Session] as an argument or from [Manager.Get]. Give each
// value that you keep in sessions a name and a type with [NewKey].
//
//   - What concerns this visitor is a method of Session: [Session.SignIn],
//     [Session.End], [Session.Update], [Session.EndOthers].
//   - What concerns anybody's session is a method of Manager: [Manager.List],
//     [Manager.EndSubject].
//   - What guards a route stands around its handler: [Manager.RequireSignIn],
//     [Manager.RequireFresh], [Manager.RequireLevel].
//   - Where sessions are kept is a [store.Store]: in memory by default; the
//     modules store/sqlitestore, store/redisstore and store/pgstore keep them
//     longer.
//   - Tests of your own handlers begin in package coatchecktest.
//
// # What is promised
//
// Data that handlers change is gathered and stored in one operation when the
// response starts; methods that take a context have acted when they return. A
// session that nobody asked for costs nothing, and one that nobody wrote to is
// not stored.
//
//   - Sign-out is final: no request under way brings a session back.
//   - Parallel requests lose nothing: see [Key.Update] and [Session.Update].
//   - A token planted before sign-in is worthless after it.
//   - Idle and absolute limits both hold, by the server's clock.
//   - The cookie is __Host-, Secure, HttpOnly and SameSite=Lax, and is sent
//     before the first byte of whatever is answered.
//   - Nothing in the store opens a session, and what leaves the process is
//     sealed under keys that only the browser's token yields. Subject, device
//     label, network prefix and times are in clear.
//   - Requests that other sites cause are refused.
//   - Trouble with the store is an error, never a signed-out user.
//
// Stored formats carry a version and are drawn in their packages; a release
// reads what the one before it wrote.
package coatcheck
