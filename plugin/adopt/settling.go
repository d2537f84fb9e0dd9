package adopt

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
)

// maxSettling is how many volumes wait for their claims at once.
const maxSettling = 128

// settling is what is left to do for objects that are made again, while the next
// ones are worked on: Kubernetes binds a claim to its volume again only when it
// looks at all claims, every 15 s unless its administrator set
// --pvclaimbinder-sync-period, and none needs to wait for another.
type settling struct {
	group errgroup.Group

	mu       sync.Mutex
	begun    int
	notes    []string
	problems []error
}

// settle does the rest of a change: it returns what there is to say about it, or
// nothing.
func (a *Adopter) settle(what string, rest func() (note string, err error)) {
	s := &a.settling
	s.mu.Lock()
	s.begun++
	s.mu.Unlock()
	s.group.Go(func() error {
		note, err := rest()
		s.mu.Lock()
		defer s.mu.Unlock()
		if note != "" {
			s.notes = append(s.notes, what+": "+note)
		}
		if err != nil {
			s.problems = append(s.problems, fmt.Errorf("%s: %w", what, err))
		}
		return nil
	})
}

// settled waits until nothing is left to do.
func (a *Adopter) settled() error {
	s := &a.settling
	s.mu.Lock()
	begun := s.begun
	s.mu.Unlock()
	if begun == 0 {
		return nil
	}
	fmt.Fprintf(a.cfg.Out, "Waiting until the claims of %d volumes are Bound again\n", begun)
	_ = s.group.Wait() // what went wrong is in problems
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, note := range s.notes {
		fmt.Fprintln(a.cfg.Out, note)
	}
	err := errors.Join(s.problems...)
	s.begun, s.notes, s.problems = 0, nil, nil
	return err
}
