package redisstore

// bell wakes one goroutine, which learns that it was rung, not how often.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default: // rung already
	}
}
