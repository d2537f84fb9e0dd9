package preflight

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"k8s.io/client-go/rest"
)

const (
	// requestTimeout bounds one request, maxDocument what is read of an answer in
	// bytes.
	requestTimeout = 15 * time.Second
	maxDocument    = 1 << 20
	// soon is when a certificate is about to end: any that is renewed by itself has
	// been by then.
	soon = 3 * 24 * time.Hour
)

// discovery is what is read of the issuer's discovery document (OpenID Connect
// Discovery 1.0 §3).
type discovery struct {
	Issuer  string `json:"issuer"`
	JWKSURI string `json:"jwks_uri"`
}

// issuerReachable asks the issuer for what the storage cluster asks it for.
func issuerReachable(ctx context.Context, cfg *Config) ([]Result, error) {
	if cfg.Target.Issuer == "" {
		return skipped("no URL of the issuer", "give the chart's values with --values, or --issuer-url"), nil
	}
	client, err := issuerClient(cfg)
	if err != nil {
		return nil, err
	}
	var document discovery
	ends, err := getJSON(ctx, client, cfg.Target.Issuer+"/.well-known/openid-configuration", &document)
	if err != nil {
		return nil, fmt.Errorf("the issuer is not reached from this machine (the cluster's Pods have to): %w", err)
	}
	var found []Result
	if document.Issuer != cfg.Target.Issuer {
		found = append(found, Result{
			Status: Failure, Found: fmt.Sprintf("the issuer says that it is %q, and not %q: the storage cluster would refuse its tokens", document.Issuer, cfg.Target.Issuer),
			Mend: "use the very URL that it was given",
		})
	}
	var keys struct {
		Keys []struct {
			KeyID string `json:"kid"`
		} `json:"keys"`
	}
	if _, err := getJSON(ctx, client, document.JWKSURI, &keys); err != nil {
		return found, fmt.Errorf("read the issuer's keys: %w", err)
	}
	if len(keys.Keys) == 0 {
		found = append(found, Result{Status: Failure, Found: "the issuer has no key", Mend: "see its log"})
	}
	if left := time.Until(ends); left < soon {
		found = append(found, Result{
			Status: Warning, Found: fmt.Sprintf("the issuer's certificate ends in %s", left.Round(time.Hour)), Mend: "renew it; the issuer reads it again when it changes",
		})
	}
	if len(found) == 0 {
		return ok("%s answers, with %d keys", cfg.Target.Issuer, len(keys.Keys)), nil
	}
	return found, nil
}

func issuerClient(cfg *Config) (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(cfg.Target.IssuerCA) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(cfg.Target.IssuerCA) {
			return nil, errors.New("the issuer's CA bundle holds no PEM certificate")
		}
	}
	if u, err := url.Parse(cfg.Target.Issuer); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("issuer URL %q: want https://host[:port]", cfg.Target.Issuer)
	}
	return &http.Client{
		Timeout: requestTimeout, Transport: &http.Transport{TLSClientConfig: config, Proxy: http.ProxyFromEnvironment},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// getJSON reads a document, and says when the certificate of whoever served it ends.
func getJSON(ctx context.Context, client *http.Client, from string, into any) (ends time.Time, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return ends, fmt.Errorf("%.200q: %w", from, err)
	}
	response, err := client.Do(request)
	if err != nil {
		return ends, err //nolint:wrapcheck // it names the URL
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return ends, fmt.Errorf("%s: %s", from, response.Status)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxDocument)).Decode(into); err != nil {
		return ends, fmt.Errorf("%s: no JSON: %w", from, err)
	}
	if response.TLS == nil || len(response.TLS.PeerCertificates) == 0 {
		return ends, fmt.Errorf("%s: not over TLS", from)
	}
	return response.TLS.PeerCertificates[0].NotAfter, nil
}

// The storage cluster has no patience with a token that was signed in its future,
// and one minute is what the issuer back-dates them by.
const (
	skewWarning = 30 * time.Second
	skewFailure = time.Minute
)

// clockSkew compares the clocks of the issuer and the API server with each other,
// by what they say of the time as they answer.
func clockSkew(ctx context.Context, cfg *Config) ([]Result, error) {
	api, ok1 := cfg.Client.Discovery().RESTClient().(*rest.RESTClient)
	if !ok1 {
		return nil, errors.New("no client of the API server")
	}
	ofAPI, err := ahead(ctx, api.Client, api.Get().AbsPath("/version").URL().String())
	if err != nil {
		return nil, fmt.Errorf("ask the API server for the time: %w", err)
	}
	if cfg.Target.Issuer == "" {
		return judgeSkew("the API server", "this machine", ofAPI), nil
	}
	client, err := issuerClient(cfg)
	if err != nil {
		return nil, err
	}
	ofIssuer, err := ahead(ctx, client, cfg.Target.Issuer+"/.well-known/openid-configuration")
	if err != nil {
		return nil, fmt.Errorf("ask the issuer for the time: %w", err)
	}
	return judgeSkew("the issuer", "the API server", ofIssuer-ofAPI), nil
}

// ahead is by how much a server's clock is ahead of ours. Its answer has seconds.
func ahead(ctx context.Context, client *http.Client, at string) (time.Duration, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return 0, fmt.Errorf("%.200q: %w", at, err)
	}
	began := time.Now()
	response, err := client.Do(request)
	if err != nil {
		return 0, err //nolint:wrapcheck // it names the URL
	}
	_ = response.Body.Close()
	told, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		return 0, fmt.Errorf("%s does not say the time: %w", at, err)
	}
	return told.Sub(began.Add(time.Since(began) / 2)), nil
}

func judgeSkew(one, other string, by time.Duration) []Result {
	if by < 0 {
		one, other, by = other, one, -by
	}
	by = by.Round(time.Second)
	found := fmt.Sprintf("the clock of %s is %s ahead of that of %s", one, by, other)
	const mend = "have both keep the time (NTP): tokens are refused before their time and after it"
	switch {
	case by > skewFailure:
		return []Result{{Status: Failure, Found: found, Mend: mend}}
	case by > skewWarning:
		return []Result{{Status: Warning, Found: found, Mend: mend}}
	}
	return ok("%s", found)
}
