package main

import "github.com/bulkhead-dev/bulkhead/test/cluster"

// storageLane is the name of the storage side.
const storageLane = "storage"

// part is what a fault of processes is about: those of a lane, by their replicas.
type part func(s *site, lane string) []*cluster.Process

func issuers(s *site, _ string) []*cluster.Process {
	var processes []*cluster.Process
	for _, replica := range s.issuers.Replicas {
		processes = append(processes, replica.Process)
	}
	return processes
}

func webhooks(s *site, lane string) []*cluster.Process { return s.admins[lane].Compute.Webhooks }

func sidecars(s *site, lane string) []*cluster.Process { return s.admins[lane].Compute.Sidecars }

func apiServer(s *site, lane string) []*cluster.Process {
	return []*cluster.Process{s.admins[lane].Compute.Process("apiserver")}
}

func etcd(s *site, lane string) []*cluster.Process {
	return []*cluster.Process{s.admins[lane].Compute.Process("etcd")}
}

// hit are those of a part that a fault befalls.
func (p part) hit(s *site, f fault) []*cluster.Process {
	processes := p(s, f.Lane)
	if f.Replica == all {
		return processes
	}
	return processes[f.Replica-1 : f.Replica]
}
