package issuer

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// auditLog is a stream of JSON lines, one for each exchange, granted or not. It
// holds neither credentials nor tokens.
type auditLog struct{ handler slog.Handler }

// maxAuditText bounds what a caller can write into a line, in bytes.
const maxAuditText = 256

func newAuditLog(out io.Writer) *auditLog {
	return &auditLog{slog.NewJSONHandler(&wholeLines{out: out}, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.LevelKey {
				return slog.Attr{} // every line is of one kind
			}
			if text := a.Value.String(); a.Value.Kind() == slog.KindString && len(text) > maxAuditText {
				return slog.String(a.Key, text[:maxAuditText]+"…")
			}
			return a
		},
	})}
}

// auditEntry is what is known of one exchange; a refused one may know little.
type auditEntry struct {
	source  string
	caller  caller
	tenant  tenancy.Tenant
	subject string
	role    string
	tokenID string
	expires time.Time
	fault   *fault
}

func (e *auditEntry) cluster() string {
	if e.caller.cluster == nil {
		return ""
	}
	return e.caller.cluster.Name
}

func (e *auditEntry) result() string {
	if e.fault == nil {
		return "granted"
	}
	return e.fault.code
}

// write adds a line; the error is that of the stream.
func (l *auditLog) write(ctx context.Context, e auditEntry) error {
	fields := []slog.Attr{
		slog.String("result", e.result()),
		slog.String("source", e.source),
		slog.String("cluster", e.cluster()),
		slog.String("serviceAccount", e.caller.namespace+"/"+e.caller.serviceAccount),
		slog.String("credentialJTI", e.caller.credentialID),
		slog.String("namespace", e.tenant.Namespace),
		slog.String("uid", e.tenant.UID),
		slog.String("tenant", e.tenant.Label),
	}
	if e.fault != nil {
		reason := e.fault.description
		if e.fault.private != "" {
			reason = e.fault.private
		}
		fields = append(fields, slog.String("reason", reason))
	} else {
		fields = append(fields, slog.String("subject", e.subject), slog.String("role", e.role),
			slog.String("jti", e.tokenID), slog.Time("expires", e.expires.UTC()))
	}
	record := slog.NewRecord(time.Now(), slog.LevelInfo, "exchange", 0)
	record.AddAttrs(fields...)
	return l.handler.Handle(ctx, record) //nolint:wrapcheck // the caller says what failed
}
