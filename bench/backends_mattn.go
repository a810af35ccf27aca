//go:build mattn

package main

// The driver that scs's documentation uses. It is SQLite in C, so it needs a C
// compiler and a minute of it: script/bench leaves it out where there is none.
import _ "github.com/mattn/go-sqlite3"

func init() {
	scsDrivers = append(scsDrivers, scsDriver{scsByMattn, "sqlite3", "_journal_mode=WAL&_synchronous=FULL&_busy_timeout=20000"})
}
