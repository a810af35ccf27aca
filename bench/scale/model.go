package main

// model is what store/redisstore does, as far as round trips go: each node
// keeps copies of what it read, in two generations, until the record is changed
// by anybody.
type model struct {
	nodes  []copies
	record int64
	tally  tally
}

// copies are those of one node. When the young fill half of the room, they
// become the old, and those that were old are forgotten.
type copies struct {
	young, old map[int]struct{}
	limit      int // of young
}

// copyCost is about what a copy needs besides its bytes, as store/redisstore
// counts it.
const copyCost = 100

func newModel(m mix) *model {
	o := &model{nodes: make([]copies, m.Nodes)}
	for i := range o.nodes {
		o.nodes[i] = copies{young: map[int]struct{}{}, limit: int(m.CacheBytes / 2 / int64(m.RecordBytes+copyCost))}
	}
	return o
}

func (c *copies) has(session int) bool {
	if _, young := c.young[session]; young {
		return true
	}
	if _, old := c.old[session]; !old {
		return false
	}
	delete(c.old, session)
	c.keep(session)
	return true
}

func (c *copies) keep(session int) {
	if c.limit == 0 {
		return
	}
	if len(c.young) >= c.limit {
		c.old, c.young = c.young, map[int]struct{}{}
	}
	c.young[session] = struct{}{}
}

func (c *copies) drop(session int) (had bool) {
	_, young := c.young[session]
	_, old := c.old[session]
	delete(c.young, session)
	delete(c.old, session)
	return young || old
}

func (o *model) read(node, session int) {
	if o.nodes[node].has(session) {
		o.tally.Hits++
		return
	}
	o.tally.Loads++
	o.nodes[node].keep(session)
}

func (o *model) touch(node, session int) {
	o.tally.Touches++
	o.dropEverywhere(node, session)
}

func (o *model) change(node, session int) {
	o.tally.Changes++
	o.dropEverywhere(node, session)
}

// replace is a look whether the session still is what the request took it for,
// a Delete, and a Create under another id.
func (o *model) replace(node, session int) {
	o.tally.Loads++
	o.tally.Changes += 2
	o.dropEverywhere(node, session)
}

func (o *model) dropEverywhere(by, session int) {
	for i := range o.nodes {
		if o.nodes[i].drop(session) && i != by {
			o.tally.News++
		}
	}
}

func (o *model) counted() tally { return o.tally }
