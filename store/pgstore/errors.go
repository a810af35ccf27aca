package pgstore

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/coatcheck/coatcheck/store"
)

// Codes of errors, as the server gives them.
const (
	readOnly             = "25006"
	noSuchRole           = "28000"
	wrongPassword        = "28P01"
	noSuchDatabase       = "3D000"
	noSuchSchema         = "3F000"
	serializationFailure = "40001"
	deadlock             = "40P01"
	notAllowed           = "42501"
	noSuchTable          = "42P01"
	existsAlready        = "42P07"
	diskFull             = "53100"
	tooManyConnections   = "53300"
	shutdown             = "57P01"
	crashShutdown        = "57P02"
	cannotConnectNow     = "57P03"
)

// sqlState returns the server's code of an error, or "".
func sqlState(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// explain turns what went wrong into what there is to do.
func explain(name string, err error) error {
	advice := adviceFor(err)
	switch {
	case advice == "":
		return fmt.Errorf("pgstore: %s: %w", name, err)
	case name == "create" && rolledBackFull(err):
		return fmt.Errorf("pgstore: %s: %w: %s: %w", name, store.ErrFull, advice, err)
	}
	return fmt.Errorf("pgstore: %s: %s: %w", name, advice, err)
}

// rolledBackFull reports whether the server has rolled a statement back because
// its disk is full. A server that goes down for it may have committed.
func rolledBackFull(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == diskFull && e.SeverityUnlocalized == "ERROR"
}

func adviceFor(err error) string {
	connecting, _ := errors.AsType[*pgconn.ConnectError](err)
	switch sqlState(err) {
	case "":
		if connecting != nil {
			return fmt.Sprintf("no server that can be used answers at %s; start PostgreSQL there or correct the address, and see that the server takes writes and that the network and its TLS settings let this machine in",
				address(connecting.Config))
		}
		if _, network := errors.AsType[net.Error](err); network || errors.Is(err, io.ErrUnexpectedEOF) {
			return "the connection broke before the server had answered, so what was asked may have happened or not; see whether the server or the network was restarted"
		}
	case wrongPassword, noSuchRole:
		if connecting != nil {
			return fmt.Sprintf("the server at %s lets nobody in as %s with this password from this machine; correct the role or the password, or the server's pg_hba.conf",
				address(connecting.Config), strconv.Quote(connecting.Config.User))
		}
	case noSuchDatabase:
		return "there is no such database; make it, as in: createdb NAME, or correct the name"
	case notAllowed:
		return "the role lacks a right; have an administrator run what pgstore.Schema returns and grant what it says, or give the role the right to create a schema"
	case noSuchTable, noSuchSchema:
		return "the tables have gone; restore them, or start the program anew to create them"
	case existsAlready:
		return "the schema holds a table of the same name that is not this store's; name another schema"
	case readOnly:
		return "the server takes no writes; name the primary, or all hosts, or see why it was made read-only"
	case diskFull:
		return "the server's disk is full; free some space there, and the store goes on without a restart"
	case tooManyConnections:
		return "the server has no connection left; lower pool_max_conns in the connection strings, or raise the server's max_connections"
	case shutdown, crashShutdown, cannotConnectNow:
		return "the server is stopping or starting; the store goes on when it is up"
	}
	return ""
}

func address(config *pgconn.Config) string {
	return net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
}
