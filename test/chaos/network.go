package main

import "context"

// slowIssuer holds the issuer's answers back.
func slowIssuer(_ context.Context, s *site, f fault) (func(context.Context) error, error) {
	s.front.Slow(f.Amount)
	return func(context.Context) error { s.front.Mend(); return nil }, nil
}

// refuseIssuer closes what connects to the issuer.
func refuseIssuer(_ context.Context, s *site, _ fault) (func(context.Context) error, error) {
	s.front.Refuse()
	return func(context.Context) error { s.front.Mend(); return nil }, nil
}

// cutIssuer takes the network away between the issuer and all who ask it, without a
// word: connections that there were never come back.
func cutIssuer(_ context.Context, s *site, _ fault) (func(context.Context) error, error) {
	s.front.Hang()
	return func(context.Context) error { s.front.Mend(); return nil }, nil
}
