package exchange

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/tlsconfig"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

const (
	// requestTimeout bounds one exchange from dialling to the last byte.
	requestTimeout = 10 * time.Second
	// maxAnswer bounds what is read of an answer, in bytes; a token is about 1 KiB.
	maxAnswer = 64 << 10
	// maxLife is the longest life, in seconds, that a time.Duration holds. What is
	// too long for a token is for others to say.
	maxLife = int64(math.MaxInt64 / time.Second)
	// maxDescription bounds what is kept of the text of a refusal, in characters:
	// it goes into logs, conditions and Events.
	maxDescription = 200
)

// Config says where the issuer is and what the compute cluster shows it.
type Config struct {
	// IssuerURL is the issuer's base URL, https only.
	IssuerURL string
	// CAFile is a PEM bundle that verifies the issuer's certificate; empty
	// means the system's.
	CAFile string
	// CredentialFile holds the Credential, read anew for each exchange.
	CredentialFile string
	// StorageCluster is the id of the storage cluster that the tokens are for,
	// the `audience` of the exchange.
	StorageCluster string
	// Transport carries the requests to an issuer that is not on a network; nil for
	// one that is.
	Transport http.RoundTripper
	// Now is the clock by which the credential is judged; time.Now if nil.
	Now func() time.Time
}

// Client exchanges the credential for tokens. It is safe for concurrent use.
type Client struct {
	cfg      Config
	endpoint string
	http     *http.Client
}

// NewClient checks the configuration and reads the CA bundle.
func NewClient(cfg Config) (*Client, error) {
	u, err := url.Parse(cfg.IssuerURL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("issuer URL: %w", err)
	case u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("issuer URL %q: want https://host[:port], since credentials and tokens cross this connection", cfg.IssuerURL)
	case cfg.CredentialFile == "":
		return nil, errors.New("no credential file: want the path of the projected ServiceAccount token")
	case cfg.StorageCluster == "":
		return nil, errors.New("no storage cluster id: want the audience of the tokens")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	transport := cfg.Transport
	if transport == nil {
		tlsConfig, err := tlsconfig.Client(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("issuer: %w", err)
		}
		transport = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			TLSClientConfig:       tlsConfig,
			ForceAttemptHTTP2:     true,
			TLSHandshakeTimeout:   requestTimeout,
			ResponseHeaderTimeout: requestTimeout,
			IdleConnTimeout:       90 * time.Second,
			// One for each worker: the issuer speaks HTTP/1.1.
			MaxIdleConnsPerHost: 100,
		}
	}
	return &Client{
		cfg:      cfg,
		endpoint: strings.TrimSuffix(cfg.IssuerURL, "/") + TokenPath,
		http: &http.Client{
			Transport: transport,
			Timeout:   requestTimeout,
			// A redirect would carry the credential to a place nobody configured.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Token is a storage token that the issuer granted.
type Token struct {
	// Raw is the JWT. It is secret: String hides it.
	Raw string
	// Life is how long it was granted for.
	Life time.Duration
	// Policy changes when the policy would give the same tenant another token;
	// empty if the issuer does not say.
	Policy string
}

func (t Token) String() string { return fmt.Sprintf("token of %v", t.Life) }

// GoString hides the token from %#v as String does from %v.
func (t Token) GoString() string { return t.String() }

// Error is a refusal by the issuer. Its text holds no secret.
type Error struct {
	// Status is the HTTP status.
	Status int
	ErrorResponse
	// RetryAfter is how long the issuer asks to wait, zero if it does not say.
	RetryAfter time.Duration
}

func (e *Error) Error() string {
	return fmt.Sprintf("issuer refused: %s: %s (HTTP %d)", e.Code, e.Description, e.Status)
}

// Denied reports whether the policy refuses this tenant. Any other refusal would
// meet every tenant of the compute cluster.
func (e *Error) Denied() bool { return e.Code == InvalidScope }

// Exchange asks the issuer for a token of the tenant. The error is an *Error
// where the issuer answered, a *CredentialError if there was nothing to ask it
// with, and wraps the transport's error otherwise.
func (c *Client) Exchange(ctx context.Context, t tenancy.Tenant) (Token, error) {
	credential, err := ReadCredential(c.cfg.CredentialFile, c.cfg.Now())
	if err != nil {
		return Token{}, err
	}
	form := url.Values{
		"grant_type":           {GrantType},
		"subject_token":        {credential.Raw},
		"subject_token_type":   {TokenTypeJWT},
		"requested_token_type": {TokenTypeAccess},
		"audience":             {c.cfg.StorageCluster},
		"scope":                {Scope(t)},
	}
	body, elsewhere, err := c.ask(ctx, form)
	if elsewhere {
		body, _, err = c.ask(ctx, form)
	}
	if refusal := (*Error)(nil); errors.As(err, &refusal) {
		return Token{}, err
	}
	if err != nil {
		return Token{}, fmt.Errorf("exchange for %s: %w", t, err)
	}
	var answer Response
	if err := json.Unmarshal(body, &answer); err != nil {
		return Token{}, fmt.Errorf("exchange for %s: the answer is not JSON", t)
	}
	if answer.AccessToken == "" || answer.ExpiresIn <= 0 || answer.ExpiresIn > maxLife {
		return Token{}, fmt.Errorf("exchange for %s: the answer lacks a token or its life", t)
	}
	return Token{Raw: answer.AccessToken, Life: time.Duration(answer.ExpiresIn) * time.Second, Policy: answer.Policy}, nil
}

// ask sends one request and reads the answer; the error is an *Error where there was
// one. elsewhere is whether this replica of the issuer could not answer and has ended
// the connection, for the next one to find another.
func (c *Client) ask(ctx context.Context, form url.Values) (body []byte, elsewhere bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, false, err //nolint:wrapcheck // the caller says what for
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, false, err //nolint:wrapcheck // as above
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, false, fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, resp.Close && resp.StatusCode >= http.StatusInternalServerError, refusal(resp, body)
	}
	return body, false, nil
}

func refusal(resp *http.Response, body []byte) *Error {
	e := &Error{Status: resp.StatusCode}
	if json.Unmarshal(body, &e.ErrorResponse) != nil || e.Code == "" {
		// Not an OAuth answer, so something between us and the issuer spoke.
		e.ErrorResponse = ErrorResponse{Code: ServerError, Description: "the answer is not one of the issuer's"}
	}
	e.Code, e.Description = fmt.Sprintf("%.*s", maxDescription, e.Code), fmt.Sprintf("%.*s", maxDescription, e.Description)
	// RFC 9110 §10.2.3: seconds, or a date.
	after := resp.Header.Get("Retry-After")
	if seconds, err := strconv.ParseInt(after, 10, 32); err == nil && seconds > 0 {
		e.RetryAfter = time.Duration(seconds) * time.Second
	} else if date, err := http.ParseTime(after); err == nil {
		e.RetryAfter = max(0, time.Until(date))
	}
	return e
}
