package coatcheck

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// secureTransport reports whether the browser will send a Secure cookie back
// on the way by which this request came. Every sign of it is believed, from
// whomever it comes: a client that lies about one gets a cookie for itself
// that it will not send, and harms nobody.
func (m *Manager) secureTransport(r *http.Request) bool {
	if m.config.InsecureHTTP || r.TLS != nil || loopback(r.Host) {
		return true
	}
	h := r.Header
	switch {
	case strings.EqualFold(firstOf(h.Get("X-Forwarded-Proto")), "https"):
	case strings.EqualFold(h.Get("X-Forwarded-Ssl"), "on"):
	case forwardedHTTPS(h.Get("Forwarded")):
	case h.Get("Sec-Fetch-Site") != "": // sent to trustworthy origins only (Fetch Metadata, 2)
	case strings.HasPrefix(h.Get("Origin"), "https://"):
	default:
		return false
	}
	return true
}

// loopback reports whether browsers trust the host without TLS (Secure
// Contexts, 3.1).
func loopback(hostport string) bool {
	host := hostport
	if strings.Contains(hostport, ":") { // without a port it is an error, which allocates
		if h, _, err := net.SplitHostPort(hostport); err == nil {
			host = h
		}
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// forwardedHTTPS reads the proto of the first element of a Forwarded header
// (RFC 7239, 4).
func forwardedHTTPS(value string) bool {
	for pair := range strings.SplitSeq(firstOf(value), ";") {
		name, proto, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if strings.EqualFold(name, "proto") && strings.EqualFold(strings.Trim(proto, `"`), "https") {
			return true
		}
	}
	return false
}

func firstOf(list string) string {
	first, _, _ := strings.Cut(list, ",")
	return strings.TrimSpace(first)
}

// address is where the request came from: the connection's address, or what
// the proxies say if all of them are trusted, from the nearest on.
func (m *Manager) address(r *http.Request) netip.Addr {
	ip := parseAddr(r.RemoteAddr)
	if !m.trusted(ip) {
		return ip
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop := parseAddr(strings.TrimSpace(hops[i]))
		if !hop.IsValid() {
			return ip
		}
		if ip = hop; !m.trusted(ip) {
			return ip
		}
	}
	return ip
}

func (m *Manager) trusted(ip netip.Addr) bool {
	for _, network := range m.config.TrustedProxies {
		if ip.IsValid() && network.Contains(ip) {
			return true
		}
	}
	return false
}

func parseAddr(s string) netip.Addr {
	if host, port, found := strings.Cut(s, ":"); found && !strings.Contains(port, ":") {
		s = host // an IPv4 address with its port, as most servers write it
	} else if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	ip, _ := netip.ParseAddr(strings.Trim(s, "[]"))
	return ip.Unmap().WithZone("")
}

// remote is the address for events: empty if there is none.
func (m *Manager) remote(r *http.Request) string {
	if ip := m.address(r); ip.IsValid() {
		return ip.String()
	}
	return ""
}

// maxNetwork is how long a network is at most: 2001:db8:1234::/48.
const maxNetwork = 19

// network appends the address for lists to dst: cut to the part that names a
// network, so that a user can tell home from abroad, and nobody a person.
func (m *Manager) network(dst []byte, r *http.Request) []byte {
	ip := m.address(r)
	bits := 48
	if ip.Is4() {
		bits = 24
	}
	prefix, err := ip.Prefix(bits)
	if err != nil {
		return nil
	}
	return prefix.AppendTo(dst)
}
