package command

import (
	"testing"

	logsapi "k8s.io/component-base/logs/api/v1"
)

// E4: at the verbosity of request bodies the log would hold tokens.
func TestE4_NoVerbosityLogsBodies(t *testing.T) {
	for name, c := range map[string]struct {
		logging logsapi.LoggingConfiguration
		ok      bool
	}{
		"the default":         {logsapi.LoggingConfiguration{}, true},
		"the highest":         {logsapi.LoggingConfiguration{Verbosity: 7}, true},
		"one more":            {logsapi.LoggingConfiguration{Verbosity: 8}, false},
		"one file at seven":   {logsapi.LoggingConfiguration{VModule: logsapi.VModuleConfiguration{{FilePattern: "request", Verbosity: 7}}}, true},
		"one file above that": {logsapi.LoggingConfiguration{VModule: logsapi.VModuleConfiguration{{FilePattern: "request", Verbosity: 8}}}, false},
	} {
		if err := capVerbosity(&c.logging); (err == nil) != c.ok {
			t.Errorf("%s: %v, want ok %v", name, err, c.ok)
		}
	}
}
