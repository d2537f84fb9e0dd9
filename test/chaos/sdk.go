package main

import "context"

// hangSDK halts the storage server. It keeps its volumes in memory, so that it can
// hang, but not be killed.
func hangSDK(_ context.Context, s *site, _ fault) (func(context.Context) error, error) {
	s.env.Storage.Server.Freeze()
	return func(context.Context) error { s.env.Storage.Server.Thaw(); return nil }, nil
}

// refuseSDK closes what connects to the storage cluster's SDK: webhooks by TCP, CSI
// drivers by its socket.
func refuseSDK(_ context.Context, s *site, _ fault) (func(context.Context) error, error) {
	s.sdk.Refuse()
	s.socket.Refuse()
	return func(context.Context) error { s.sdk.Mend(); s.socket.Mend(); return nil }, nil
}
