package main

import (
	"context"
	"errors"
)

// fillDisk leaves the issuer's audit log no room.
func fillDisk(_ context.Context, s *site, f fault) (func(context.Context) error, error) {
	replicas := s.issuers.Replicas
	if f.Replica != all {
		replicas = replicas[f.Replica-1 : f.Replica]
	}
	var failures []error
	for _, replica := range replicas {
		failures = append(failures, replica.Disk.Fill())
	}
	return func(context.Context) error {
		var failures []error
		for _, replica := range replicas {
			failures = append(failures, replica.Disk.Free())
		}
		return errors.Join(failures...)
	}, errors.Join(failures...)
}
