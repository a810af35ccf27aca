package demo_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/coatcheck/coatcheck/store/memstore"
)

func TestTheLastExchangeIsDrawn(t *testing.T) {
	b := openSite(t).browser()
	b.get("/what-happened").want(t, http.StatusOK, "It brought no session cookie", "GET /what-happened HTTP/", "A session that nobody wrote to does not exist.")
	addCoat(b)
	b.once("POST", "/sign-in", url.Values{"account": {"alice"}, "password": {passwordOf("alice")}})
	p := b.get("/what-happened")
	p.want(t, http.StatusOK, "POST /sign-in HTTP/", "303 See Other", "Set-Cookie: __Host-id=", "create", "HttpOnly", "Theft by script",
		"Forged requests", "Theft from the network", "Planted cookies", "its SHA-256 hash only", "Location: /welcome")
	if !p.has("/cart/add") {
		t.Error("what happened before the sign-in is not in the list")
	}
}

func TestLookingDoesNotReplaceWhatIsLookedAt(t *testing.T) {
	b := openSite(t).browser()
	addCoat(b)
	for range 3 {
		p := b.get("/what-happened")
		if !p.has("GET /shop, answered 200 OK") || strings.Contains(p.body, "?n=4") {
			t.Fatalf("the page shows itself:\n%s", p.main())
		}
	}
}

func TestACookieFromBeforeIsNotDenied(t *testing.T) {
	kept := memstore.New(nil)
	b := openSiteOver(t, kept).browser()
	b.signIn("alice")
	again := openSiteOver(t, kept).browser() // the program was started anew
	again.client.Jar = b.client.Jar
	p := again.get("/what-happened")
	p.want(t, http.StatusOK, "brought its cookie", "nothing is left")
	if p.has("It brought no session cookie") {
		t.Error("the page denies the cookie that came")
	}
	again = openSite(t).browser() // which does not know it
	again.client.Jar = b.client.Jar
	again.get("/what-happened").want(t, http.StatusOK, "brought a cookie that opens no session")
	again.get("/").want(t, http.StatusOK, "which opens no session")
}

func TestAnEarlierExchangeIsChosen(t *testing.T) {
	b := openSite(t).browser()
	addCoat(b)
	b.get("/cart")
	link := regexp.MustCompile(`href="(/what-happened\?n=\d+)"[^>]*><b>POST`).FindStringSubmatch(b.get("/what-happened").body)
	if link == nil {
		t.Fatal("no link to the POST")
	}
	b.get(link[1]).want(t, http.StatusOK, "POST /cart/add, answered 303 See Other", "__Host-id-visit")
}

func TestNobodySeesAnothersExchanges(t *testing.T) {
	site := openSite(t)
	alice, bob := site.browser(), site.browser()
	alice.signIn("alice")
	alice.get("/wallet")
	number := regexp.MustCompile(`\?n=(\d+)`).FindStringSubmatch(alice.get("/what-happened").body)[1]
	bob.signIn("bob")
	if p := bob.get("/what-happened?n=" + number); p.has("/wallet HTTP") {
		t.Error("bob sees alice's exchange")
	}
	alice.post("/sign-out", url.Values{})
	alice.signIn("bob") // on the same browser
	if p := alice.get("/what-happened"); p.has("/wallet ") {
		t.Error("what alice did is shown to the next who signs in on her browser")
	}
}

// TestNoPageAndNoLogHasASecret goes everywhere and then looks for every token
// that any browser ever had. What lies after the public id, 22 characters in,
// must be nowhere.
func TestNoPageAndNoLogHasASecret(t *testing.T) {
	site := openSite(t)
	b, admin := site.browser(), site.browser()
	checkOut(b)
	b.signIn("alice")
	admin.signIn("admin")
	b.post("/account/password", url.Values{"current": {passwordOf("alice")}, "new": {"a coat of one colour"}})
	for _, path := range []string{"/", "/shop", "/cart", "/checkout/review", "/wallet", "/account", "/kept", "/sessions", "/what-happened", "/nowhere"} {
		b.get(path)
	}
	b.post("/sign-out", url.Values{})
	admin.get("/admin")
	admin.get("/what-happened")

	tokens := 0
	for _, from := range []*browser{b, admin} {
		for _, answer := range from.seen {
			for _, line := range answer.header.Values("Set-Cookie") {
				_, value, _ := strings.Cut(line, "=")
				if value, _, _ = strings.Cut(value, ";"); len(value) != 64 {
					continue
				}
				tokens++
				for _, read := range append(b.seen, admin.seen...) {
					if strings.Contains(read.body, value[22:34]) {
						t.Errorf("%s has a piece of a secret", read.path)
					}
				}
				if strings.Contains(site.log.String(), value[22:34]) {
					t.Error("the log has a piece of a secret")
				}
			}
		}
	}
	if tokens < 4 {
		t.Fatalf("only %d tokens were given out: the test looks for too little", tokens)
	}
}
