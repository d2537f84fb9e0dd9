package issuer

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"golang.org/x/time/rate"
	"k8s.io/klog/v2"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// maxRequest bounds the body of an exchange, in bytes; a credential is about
// 1 KiB.
const maxRequest = 32 << 10

// fault is a refusal with its OAuth code and HTTP status.
type fault struct {
	status      int
	code        string
	description string
	// private says more, for the audit log alone.
	private string
	// retryAfter is how long to wait, rounded up to seconds; zero to say nothing.
	retryAfter time.Duration
}

func bad(code, description string) *fault {
	return &fault{status: http.StatusBadRequest, code: code, description: description}
}

// exchangeHandler answers POST /token.
type exchangeHandler struct {
	minter        *minter
	authenticator func() *authenticator
	now           func() time.Time
	metrics       *metrics
	audit         *auditLog
}

func (h *exchangeHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := h.now()
	r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
	entry := auditEntry{source: r.RemoteAddr}
	answer, f := h.exchange(r, &entry)
	entry.fault = f
	if err := h.audit.write(r.Context(), entry); err != nil {
		// A token that nobody can account for is not handed out.
		klog.FromContext(r.Context()).Error(err, "The audit log cannot be written; exchanges are refused")
		answer, f = nil, &fault{status: http.StatusInternalServerError, code: exchange.ServerError, description: "the exchange could not be recorded"}
		entry.fault = f
		// The caller's next connection may find a replica whose log has room.
		w.Header().Set("Connection", "close")
	}
	h.metrics.observe(entry, h.now().Sub(start))

	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if f == nil {
		_ = json.NewEncoder(w).Encode(answer) //nolint:gosec // G117: the token is what was asked for
		return
	}
	if f.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(f.retryAfter.Seconds()))))
	}
	w.WriteHeader(f.status)
	_ = json.NewEncoder(w).Encode(exchange.ErrorResponse{Code: f.code, Description: f.description})
}

// exchange decides one request, and notes in the entry what is known of it.
func (h *exchangeHandler) exchange(r *http.Request, entry *auditEntry) (*exchange.Response, *fault) {
	if err := r.ParseForm(); err != nil {
		return nil, bad(exchange.InvalidRequest, "the body is not a form of at most 32 KiB")
	}
	// PostForm: parameters in the URL would end up in the logs of proxies.
	form := r.PostForm
	for name, values := range form {
		if len(values) > 1 {
			return nil, bad(exchange.InvalidRequest, "a parameter is repeated: "+printable(name))
		}
	}
	switch {
	case form.Get("grant_type") == "":
		return nil, bad(exchange.InvalidRequest, "grant_type is missing")
	case form.Get("grant_type") != exchange.GrantType:
		return nil, bad(exchange.UnsupportedGrantType, "grant_type: want "+exchange.GrantType)
	case form.Get("subject_token") == "":
		return nil, bad(exchange.InvalidRequest, "subject_token is missing")
	case form.Get("subject_token_type") != exchange.TokenTypeJWT:
		return nil, bad(exchange.InvalidRequest, "subject_token_type: want "+exchange.TokenTypeJWT)
	case form.Has("actor_token") || form.Has("actor_token_type"):
		return nil, bad(exchange.InvalidRequest, "actor_token: delegation is not supported")
	case form.Has("requested_token_type") && form.Get("requested_token_type") != exchange.TokenTypeAccess:
		return nil, bad(exchange.InvalidRequest, "requested_token_type: want "+exchange.TokenTypeAccess)
	}
	authenticator := h.authenticator()
	who, err := authenticator.authenticate(r.Context(), form.Get("subject_token"))
	switch {
	case errors.Is(err, errOutage):
		return nil, &fault{
			status: http.StatusServiceUnavailable, code: exchange.TemporarilyUnavailable, description: err.Error(), retryAfter: keysRetry,
		}
	case err != nil:
		return nil, &fault{
			status: http.StatusUnauthorized, code: exchange.InvalidClient, description: errCredential.Error(), private: err.Error(),
		}
	}
	entry.caller = who
	// For the audit log of what is refused below, too.
	tenant, scopeErr := exchange.ParseScope(form.Get("scope"))
	entry.tenant = tenant
	account, ok := who.cluster.account(who.namespace, who.serviceAccount)
	switch {
	case who.cluster.Suspended:
		return nil, bad(exchange.UnauthorizedClient, "this compute cluster is suspended")
	case !ok:
		return nil, bad(exchange.UnauthorizedClient, "this ServiceAccount may not ask for tokens")
	case form.Has("resource"):
		return nil, bad(exchange.InvalidTarget, "resource: name the storage cluster by audience")
	case form.Get("audience") != authenticator.policy.StorageCluster:
		return nil, bad(exchange.InvalidTarget, "audience: not the id of this issuer's storage cluster")
	}
	// Only after the ServiceAccount: any Pod can show a credential of its own.
	if f := h.throttle(who.cluster.limiters[account.id()]); f != nil {
		return nil, f
	}
	if scopeErr != nil {
		return nil, bad(exchange.InvalidScope, "scope: want namespace:<name> uid:<uid> [tenant:<label>], each well-formed and once")
	}
	if !who.cluster.serves(tenant) {
		return nil, bad(exchange.InvalidScope, "the policy does not let this compute cluster ask for this namespace or tenant")
	}
	life, f := h.life(form.Get("requested_life"), who.cluster)
	if f != nil {
		return nil, f
	}
	return h.grant(authenticator.policy, who.cluster, account.Role, tenant, life, entry)
}

// throttle takes one request out of a bucket.
func (h *exchangeHandler) throttle(bucket *rate.Limiter) *fault {
	now := h.now()
	if bucket.AllowN(now, 1) {
		return nil
	}
	missing := 1 - bucket.TokensAt(now)
	return &fault{
		status: http.StatusTooManyRequests, code: exchange.TemporarilyUnavailable,
		description: "too many requests of this compute cluster",
		retryAfter:  time.Duration(missing / float64(bucket.Limit()) * float64(time.Second)),
	}
}

// life is the least of what was asked (in seconds) and what the policy allows.
func (h *exchangeHandler) life(asked string, c *Cluster) (time.Duration, *fault) {
	if asked == "" {
		return c.MaxLife, nil
	}
	seconds, err := strconv.ParseInt(asked, 10, 32)
	life := time.Duration(seconds) * time.Second
	if err != nil || life < minLife {
		return 0, bad(exchange.InvalidRequest, "requested_life: want seconds, at least "+strconv.Itoa(int(minLife.Seconds())))
	}
	return min(life, c.MaxLife), nil
}

func (h *exchangeHandler) grant(p *Policy, c *Cluster, role string, tenant tenancy.Tenant, life time.Duration, entry *auditEntry) (*exchange.Response, *fault) {
	subject := tenant.Subject(c.Name)
	claims := tokenClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Subject:  subject,
			Audience: jwt.ClaimStrings{p.StorageCluster},
			ID:       uuid.NewString(),
		},
		Name:   tenant.String() + " of " + c.Name,
		Roles:  []string{role},
		Groups: []string{subject},
		extra:  c.Claims,
	}
	token, expires, err := h.minter.mint(claims, life)
	if err != nil {
		return nil, &fault{status: http.StatusInternalServerError, code: exchange.ServerError, description: "the token could not be signed"}
	}
	entry.subject, entry.role, entry.tokenID, entry.expires = subject, role, claims.ID, expires
	return &exchange.Response{
		AccessToken:     token,
		IssuedTokenType: exchange.TokenTypeAccess,
		TokenType:       "Bearer",
		ExpiresIn:       int64(life.Seconds()),
		Scope:           exchange.Scope(tenant),
		Policy:          p.digest(c, role),
	}, nil
}

// printable makes a name that the caller chose fit for an error text, to the
// characters that RFC 6749 §5.2 allows there.
func printable(s string) string {
	const most = 40
	out := make([]byte, 0, most)
	for i := 0; i < len(s) && len(out) < most; i++ {
		if c := s[i]; c >= ' ' && c < 0x7f && c != '"' && c != '\\' {
			out = append(out, c)
		}
	}
	return string(out)
}
