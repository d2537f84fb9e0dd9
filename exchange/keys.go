package exchange

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// JWKSPath is where the issuer publishes its keys, below its base URL.
const JWKSPath = "/jwks"

// KeyIDs are the ids of the keys that the issuer publishes now. It fails if the
// issuer cannot be reached, and if it publishes none: the storage cluster then
// verifies tokens some other way.
func (c *Client) KeyIDs(ctx context.Context) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.cfg.IssuerURL, "/")+JWKSPath, nil)
	if err != nil {
		return nil, fmt.Errorf("published keys: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("published keys: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	var set struct {
		Keys []struct {
			ID string `json:"kid"`
		} `json:"keys"`
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("published keys: HTTP %d", resp.StatusCode)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&set); err != nil {
		return nil, errors.New("published keys: the answer is not a key set")
	}
	ids := map[string]bool{}
	for _, key := range set.Keys {
		if key.ID != "" {
			ids[key.ID] = true
		}
	}
	if len(ids) == 0 {
		return nil, errors.New("published keys: there are none")
	}
	return ids, nil
}
