package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net"
	"time"
)

// selfSigned makes a certificate for this machine and one more name, good for
// a week and signed by nobody. Its key never leaves the process.
func selfSigned(host string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("draw a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("draw a serial number: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "The Coat Check (demo)"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(0, 0, 7),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if address := net.ParseIP(host); address != nil {
		template.IPAddresses = append(template.IPAddresses, address)
	} else if host != "" && host != "localhost" {
		template.DNSNames = append(template.DNSNames, host)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("sign: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// tellHowToBind writes the line that starts a Chromium which binds sessions
// here. It takes no offer from a site whose certificate it does not trust, and
// on systems without a key store of their own it keeps keys in software.
func tellHowToBind(out io.Writer, address string, pair tls.Certificate) {
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return // it was made a moment ago, and the server says what is wrong with it
	}
	key := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	fmt.Fprintf(out, `
Browsers bind no session where they do not trust the certificate. This one
trusts it, and needs no special hardware:

    chromium --user-data-dir="$(mktemp -d)" \
      --enable-features=DeviceBoundSessions,EnableBoundSessionCredentialsSoftwareKeysForManualTesting \
      --ignore-certificate-errors-spki-list=%s \
      %s

Sign in there, and open “This device” at the foot of the page.
`, base64.StdEncoding.EncodeToString(key[:]), address)
}
