package house

// Good is one thing that the house sells. Its ID also names its drawing.
type Good struct {
	ID    string
	Name  string
	About string
	Price Money
}

var goods = []Good{
	{"coat", "Evening coat", "Wool, long, with an inside pocket for the ticket.", 18900},
	{"umbrella", "House umbrella", "Ash handle. Left behind more often than anything else.", 4200},
	{"hat", "Felt hat", "Holds its shape on the shelf and in the rain.", 6400},
	{"scarf", "Striped scarf", "Two metres, in the colours of our tickets.", 3150},
	{"gloves", "Lined gloves", "Always a pair: we clip them together.", 3800},
	{"hanger", "Beech hanger", "The one we use ourselves, broad at the shoulder.", 1250},
}

// Goods returns everything the house sells, in the order of the shelf.
func Goods() []Good { return append([]Good(nil), goods...) }

// FindGood returns the good of that id.
func FindGood(id string) (Good, bool) {
	for _, good := range goods {
		if good.ID == id {
			return good, true
		}
	}
	return Good{}, false
}
