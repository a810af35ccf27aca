package exchange

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Reason says what one part of a cookie is for: the attack that it stops.
type Reason struct {
	Part    string
	Stops   string
	Because string
}

// Answer is the status line's code with its name.
func (e Exchange) Answer() string {
	return fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status))
}

// Reasons explains a session cookie part by part, as the server set it.
func (c Cookie) Reasons() []Reason {
	reasons := []Reason{c.reasonOfName(), c.reasonOfValue()}
	domain, lasting := false, false
	for _, attribute := range c.Attributes {
		name, value, _ := strings.Cut(attribute, "=")
		switch strings.ToLower(name) {
		case "domain":
			domain = true
		case "max-age", "expires":
			if !lasting {
				reasons = append(reasons, reasonOfAge(attribute, name, value))
			}
			lasting = true
		default:
			if why, known := whyAttribute[strings.ToLower(attribute)]; known {
				reasons = append(reasons, Reason{attribute, why[0], why[1]})
			}
		}
	}
	if len(c.Attributes) == 0 {
		return reasons
	}
	if !domain {
		reasons = append(reasons, Reason{"no Domain", "Theft by a neighbour", "Sent to this host alone, to no subdomain that somebody else may run."})
	}
	if !lasting {
		reasons = append(reasons, Reason{"no Max-Age, no Expires", "Theft from the device", "The browser forgets it when it is closed. The server’s own limits count all the same."})
	}
	return reasons
}

var whyAttribute = map[string][2]string{
	"path=/":          {"Look-alikes", "Valid for the whole site, so that no second cookie of this name can hide under a longer path. The name’s prefix demands it."},
	"httponly":        {"Theft by script", "Script cannot read it. An injected script may act while the page is open, but it cannot carry the session away."},
	"secure":          {"Theft from the network", "Never sent over plain http, so nobody between browser and server reads it."},
	"samesite=lax":    {"Forged requests", "Stays behind when another site posts a form here, frames a page or loads an image. A plain link still arrives signed in."},
	"samesite=strict": {"Forged requests", "Stays behind whenever another site starts the request, even by a link."},
}

func (c Cookie) reasonOfName() Reason {
	prefix := "__Host-"
	if !strings.HasPrefix(c.Name, prefix) {
		return Reason{c.Name, "", "A plain name promises nothing."}
	}
	because := "A browser accepts this prefix only from this very host, over a secure connection, for the whole site. So no subdomain and nobody on the network can plant a cookie in its place."
	if !c.isSignedIn() {
		because += " The name also says that nobody is signed in: another cookie carries that, so a late answer to this one can never undo a sign-in."
	}
	return Reason{c.Name, "Planted cookies", because}
}

func (c Cookie) reasonOfValue() Reason {
	if c.Gone {
		return Reason{"an empty value", "Use after sign-out", "The browser forgets the cookie. That is tidiness: the server has ended the session already, and a copy of the old value opens nothing."}
	}
	return Reason{c.Shown, "Guessing, fixation", "Sixteen bytes name the session; thirty-two random ones open it. It is drawn anew at every sign-in, so what was planted or seen before is worthless."}
}

func reasonOfAge(attribute, name, value string) Reason {
	if value == "0" && strings.EqualFold(name, "Max-Age") {
		return Reason{attribute, "Leftovers", "The browser forgets the cookie at once."}
	}
	because := "The browser keeps it over a restart, because “remember me” was ticked."
	if seconds, err := time.ParseDuration(value + "s"); err == nil && strings.EqualFold(name, "Max-Age") {
		because = fmt.Sprintf("The browser keeps it for %.0f days, over a restart, because “remember me” was ticked.", seconds.Hours()/24)
	}
	return Reason{attribute, "Living for ever", because + " The server ends the session no later, whatever the browser does."}
}
