package cluster

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Metrics is what the process's metrics endpoint prints.
func (p *Process) Metrics(ctx context.Context) ([]byte, error) {
	return httpGet(ctx, p.Endpoint+"/metrics")
}

// Metric reads a series, written as Prometheus prints it: name or
// name{label="value"}.
func (p *Process) Metric(ctx context.Context, series string) (float64, error) {
	text, err := p.Metrics(ctx)
	if err != nil {
		return 0, err
	}
	return metricValue(text, series)
}

// MetricSum adds up all series of a name, zero if there is none yet.
func (p *Process) MetricSum(ctx context.Context, name string) (float64, error) {
	text, err := p.Metrics(ctx)
	if err != nil {
		return 0, err
	}
	sum := 0.0
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if series, _, _ := strings.Cut(lines.Text(), " "); series == name || strings.HasPrefix(series, name+"{") {
			value, err := metricValue(lines.Bytes(), series)
			if err != nil {
				return 0, err
			}
			sum += value
		}
	}
	return sum, nil
}

// metricValue reads a series from the Prometheus text format.
func metricValue(text []byte, series string) (float64, error) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if value, found := strings.CutPrefix(lines.Text(), series+" "); found {
			number, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				return 0, fmt.Errorf("metric %s: %w", series, err)
			}
			return number, nil
		}
	}
	return 0, fmt.Errorf("metric %s is missing", series)
}
