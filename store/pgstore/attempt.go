package pgstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	patience   = 2 * time.Second // how long trouble that may pass is tried again
	firstPause = 10 * time.Millisecond
	mostPause  = 200 * time.Millisecond
)

// do runs work on a connection, again while trouble may pass and either nothing
// can have happened or, for what is harmless, doing it twice is like doing it
// once.
func (s *Store) do(ctx context.Context, name string, harmless bool, work func(context.Context, *pgxpool.Conn) error) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.inFlight.Done()
	giveUp := time.Now().Add(patience)
	for pause := firstPause; ; pause = min(2*pause, mostPause) {
		reached, err := s.once(ctx, work)
		if err == nil && !harmless {
			// When a query is cancelled while the server waits for its standby,
			// it says that all is well, and the standby may not have it.
			err = ctx.Err()
		}
		if err == nil {
			return nil
		}
		if ended := ctx.Err(); ended != nil {
			return fmt.Errorf("pgstore: %s: %w: %w", name, ended, err)
		}
		wait := pause/2 + rand.N(pause)
		if !mayPass(err, reached, harmless) || time.Now().Add(wait).After(giveUp) {
			return explain(name, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("pgstore: %s: %w: %w", name, ctx.Err(), err)
		case <-time.After(wait):
		}
	}
}

// reach says how far an attempt came that failed.
type reach int

const (
	noConnection     reach = iota // so nothing has happened
	connectionBroken              // so anything may have
	answered
)

func (s *Store) once(ctx context.Context, work func(context.Context, *pgxpool.Conn) error) (reach, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return noConnection, err
	}
	defer conn.Release()
	err = work(ctx, conn)
	if conn.Conn().IsClosed() {
		return connectionBroken, err
	}
	return answered, err
}

// mayPass reports whether to try again after an error.
func mayPass(err error, reached reach, harmless bool) bool {
	switch sqlState(err) {
	case serializationFailure, deadlock:
		return true // the server has rolled it back
	case shutdown, crashShutdown, cannotConnectNow, tooManyConnections, "":
		return reached == noConnection || pgconn.SafeToRetry(err) || reached == connectionBroken && harmless
	}
	return false
}
