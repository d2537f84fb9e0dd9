package issuer

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"k8s.io/klog/v2"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// maxRequest bounds the body of an exchange, in bytes; a credential is about
// 1 KiB.
const maxRequest = 32 << 10

// tokenClaims are those that the storage cluster needs (openstorage
// pkg/auth/claims.go): name and email must be present, and may be empty.
type tokenClaims struct {
	jwt.RegisteredClaims
	Name   string   `json:"name"`
	Email  string   `json:"email"`
	Roles  []string `json:"roles"`
	Groups []string `json:"groups"`
}

// fault is a refusal with its OAuth code and HTTP status.
type fault struct {
	status      int
	code        string
	description string
}

// exchangeHandler answers POST /token.
type exchangeHandler struct {
	issuerURL string
	backdate  time.Duration
	key       *signingKey
	policy    func() *Policy
	now       func() time.Time
	metrics   *metrics
}

func (h *exchangeHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	start := h.now()
	answer, f := h.exchange(w, r)
	h.metrics.observe(f, h.now().Sub(start))
	if f != nil {
		klog.FromContext(r.Context()).Info("Refused an exchange",
			"code", f.code, "reason", f.description, "source", r.RemoteAddr)
		w.WriteHeader(f.status)
		_ = json.NewEncoder(w).Encode(exchange.ErrorResponse{Code: f.code, Description: f.description})
		return
	}
	_ = json.NewEncoder(w).Encode(answer) //nolint:gosec // G117: the token is what was asked for
}

func (h *exchangeHandler) exchange(w http.ResponseWriter, r *http.Request) (*exchange.Response, *fault) {
	r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
	if err := r.ParseForm(); err != nil {
		return nil, &fault{http.StatusBadRequest, exchange.InvalidRequest, "the body is not a form of at most 32 KiB"}
	}
	// PostForm: parameters in the URL would end up in the logs of proxies.
	form := r.PostForm
	for name, values := range form {
		if len(values) > 1 {
			return nil, &fault{http.StatusBadRequest, exchange.InvalidRequest, "a parameter is repeated: " + printable(name)}
		}
	}
	switch {
	case form.Get("grant_type") != exchange.GrantType:
		return nil, &fault{http.StatusBadRequest, exchange.UnsupportedGrantType, "grant_type: want " + exchange.GrantType}
	case form.Get("subject_token") == "":
		return nil, &fault{http.StatusBadRequest, exchange.InvalidRequest, "subject_token is missing"}
	case form.Get("subject_token_type") != exchange.TokenTypeJWT:
		return nil, &fault{http.StatusBadRequest, exchange.InvalidRequest, "subject_token_type: want " + exchange.TokenTypeJWT}
	case form.Has("actor_token"):
		return nil, &fault{http.StatusBadRequest, exchange.InvalidRequest, "actor_token: delegation is not supported"}
	case form.Has("requested_token_type") && form.Get("requested_token_type") != exchange.TokenTypeAccess:
		return nil, &fault{http.StatusBadRequest, exchange.InvalidRequest, "requested_token_type: want " + exchange.TokenTypeAccess}
	}
	policy := h.policy()
	who, err := policy.authenticate(form.Get("subject_token"), h.issuerURL)
	if err != nil {
		code := exchange.InvalidClient
		if errors.Is(err, errSuspended) {
			code = exchange.UnauthorizedClient
		}
		return nil, &fault{http.StatusUnauthorized, code, err.Error()}
	}
	role, ok := who.cluster.role(who.namespace, who.serviceAccount)
	switch {
	case !ok:
		return nil, &fault{http.StatusBadRequest, exchange.UnauthorizedClient, "this ServiceAccount may not ask for tokens"}
	case form.Get("audience") != policy.StorageCluster:
		return nil, &fault{http.StatusBadRequest, exchange.InvalidTarget, "audience: not the id of this issuer's storage cluster"}
	}
	tenant, err := exchange.ParseScope(form.Get("scope"))
	if err != nil {
		return nil, &fault{http.StatusBadRequest, exchange.InvalidScope, err.Error()}
	}
	return h.mint(r, policy, who, role, tenant)
}

func (h *exchangeHandler) mint(r *http.Request, policy *Policy, who caller, role string, tenant tenancy.Tenant) (*exchange.Response, *fault) {
	subject := tenant.Subject(who.cluster.Name)
	life := who.cluster.MaxLife.Duration
	now := h.now()
	claims := tokenClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    h.issuerURL,
			Subject:   subject,
			Audience:  jwt.ClaimStrings{policy.StorageCluster},
			IssuedAt:  jwt.NewNumericDate(now.Add(-h.backdate)),
			ExpiresAt: jwt.NewNumericDate(now.Add(life)),
			ID:        uuid.NewString(),
		},
		Name:   tenant.String() + " of " + who.cluster.Name,
		Roles:  []string{role},
		Groups: []string{subject},
	}
	token, err := h.key.sign(claims)
	if err != nil {
		klog.FromContext(r.Context()).Error(err, "Signing failed")
		return nil, &fault{http.StatusInternalServerError, exchange.ServerError, "the token could not be signed"}
	}
	// The audit trail: one line for each token, without the token.
	klog.FromContext(r.Context()).Info("Minted a token",
		"cluster", who.cluster.Name, "serviceAccount", klog.KRef(who.namespace, who.serviceAccount),
		"subject", subject, "role", role, "life", life, "jti", claims.ID,
		"credentialJTI", who.credentialID, "source", r.RemoteAddr)
	return &exchange.Response{
		AccessToken:     token,
		IssuedTokenType: exchange.TokenTypeAccess,
		TokenType:       "Bearer",
		ExpiresIn:       int64(life.Seconds()),
		Scope:           exchange.Scope(tenant),
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
