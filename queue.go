package coatcheck

import (
	"context"
	"sync"
	"sync/atomic"
)

// queues make the commits of one session in this process wait for each other
// once they have met, so that each loses at most one race. Requests never wait
// here, only commits, and a queue exists only while somebody is in it.
type queues struct {
	any    atomic.Int64 // how many queues there are
	shards [64]queueShard
}

type queueShard struct {
	sync.Mutex
	queues map[ID]*queue
}

type queue struct {
	members int           // who hold it or wait
	turn    chan struct{} // holds a value while nobody has the turn
}

func (q *queues) shard(id ID) *queueShard {
	return &q.shards[id[len(id)-1]%64] // the last byte is random
}

// busy reports whether commits of that session are waiting already.
func (q *queues) busy(id ID) bool {
	if q.any.Load() == 0 {
		return false
	}
	shard := q.shard(id)
	shard.Lock()
	defer shard.Unlock()
	return shard.queues[id] != nil
}

// enter waits for the turn. leave must be called once.
func (q *queues) enter(ctx context.Context, id ID) (leave func(), err error) {
	shard := q.shard(id)
	shard.Lock()
	mine := shard.queues[id]
	if mine == nil {
		mine = &queue{turn: make(chan struct{}, 1)}
		mine.turn <- struct{}{}
		if shard.queues == nil {
			shard.queues = map[ID]*queue{}
		}
		shard.queues[id] = mine
		q.any.Add(1)
	}
	mine.members++
	shard.Unlock()

	resign := func() {
		shard.Lock()
		defer shard.Unlock()
		if mine.members--; mine.members == 0 {
			delete(shard.queues, id)
			q.any.Add(-1)
		}
	}
	select {
	case <-mine.turn:
		return func() {
			mine.turn <- struct{}{}
			resign()
		}, nil
	case <-ctx.Done():
		resign()
		return nil, ctx.Err()
	}
}
