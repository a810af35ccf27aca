// One site on express, with express-session on its own MemoryStore as its
// README begins, or without sessions when asked for "plain". It tells its
// address on standard output and ends with its input.
const express = require("express");
const app = express();
app.disable("etag");
app.disable("x-powered-by");
if (process.argv[2] !== "plain") {
  const session = require("express-session");
  app.use(session({ secret: "0123456789abcdef", resave: false, saveUninitialized: false }));
  app.get("/fill", (req, res) => {
    Object.assign(req.session, { name: "Alice Example", visits: 1, text: "settings ".repeat(6) });
    res.send("ok");
  });
}
app.get("/", (req, res) => res.send(req.session ? req.session.name || "" : "Alice Example"));
const server = app.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify("127.0.0.1:" + server.address().port));
});
process.stdin.resume().on("end", () => process.exit());
