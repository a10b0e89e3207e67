package fronts

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"
)

// host is the site's host. Its name is in the configurations.
const host = "shop.example"

var site = &url.URL{Scheme: "https", Host: host, Path: "/"}

// certificate is a certificate for the host, and its key.
type certificate struct {
	cert, key string // in PEM
}

// newCertificate returns a certificate that signs itself.
func newCertificate(t *testing.T) certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	inPEM := func(kind string, data []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}))
	}
	return certificate{inPEM("CERTIFICATE", cert), inPEM("PRIVATE KEY", private)}
}

// front is a server in front of programs. It speaks HTTPS on a Unix socket, so that it
// needs no free port. Visitors connect to the socket for every address.
type front struct {
	*process
	socket      string
	certificate certificate
}

// visitor is a browser at a front. It trusts the front's certificate.
type visitor struct {
	t      *testing.T
	client *http.Client
}

func (f front) visitor(t *testing.T) visitor {
	t.Helper()
	jar, _ := cookiejar.New(nil) // the error is always nil
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(f.certificate.cert)) {
		t.Fatal("the certificate is not valid")
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", f.socket)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return visitor{t, &http.Client{
		Transport:     transport,
		Jar:           jar,
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// page is a response that was read.
type page struct {
	status int
	header http.Header
	body   string
}

// get asks for a page of the host.
func (v visitor) get(path string) page {
	v.t.Helper()
	return v.send("GET", "https://"+host+path, nil)
}

// post sends a form to the host, and headers, in pairs of name and value.
func (v visitor) post(path string, form url.Values, headers ...string) page {
	v.t.Helper()
	return v.send("POST", "https://"+host+path, form, headers...)
}

func (v visitor) send(method, address string, form url.Values, headers ...string) page {
	v.t.Helper()
	request, err := http.NewRequest(method, address, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	if method == "POST" {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := v.client.Do(request)
	if err != nil {
		v.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return page{response.StatusCode, response.Header, string(body)}
}
