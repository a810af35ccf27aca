package secret

// Kept is how many ciphers are kept.
func (c *Ciphers) Kept() (n int) {
	for i := range c.places {
		if c.places[i].Load() != nil {
			n++
		}
	}
	return n
}
