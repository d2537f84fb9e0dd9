package storage

import (
	"context"
	"errors"
	"testing"

	"github.com/libopenstorage/openstorage/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// answering is a connection that gives one answer to every call.
type answering struct {
	code    codes.Code
	message string
	body    []byte
}

func (a *answering) answer(_ context.Context, _ string, _, reply any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, _ ...grpc.CallOption) error {
	if a.code != codes.OK {
		return status.Error(a.code, a.message)
	}
	message, ok := reply.(proto.Message)
	if !ok {
		return status.Error(codes.Internal, "no message is wanted")
	}
	if err := proto.Unmarshal(a.body, message); err != nil {
		return status.Error(codes.Internal, err.Error()) // as gRPC does
	}
	return nil
}

func (a *answering) connect(f *testing.F) *grpc.ClientConn {
	f.Helper()
	conn, err := grpc.NewClient("passthrough:///nowhere", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUnaryInterceptor(a.answer))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = conn.Close() })
	return conn
}

func encode(f *testing.F, m proto.Message) []byte {
	f.Helper()
	raw, err := proto.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	return raw
}

const fuzzSubject = "team-a.0b1d3a52-5a0c-4f3e-9d2f-0c6f8a1b2c3d@k14c1"

// Whatever the storage cluster answers about a volume: the tenant may use it only
// if the answer is a volume that it owns, or that its owner shares.
func FuzzInspect(f *testing.F) {
	volume := func(o *api.Ownership) []byte {
		return encode(f, &api.SdkVolumeInspectResponse{
			Name: "v", Volume: &api.Volume{Id: "1", Spec: &api.VolumeSpec{Ownership: o}, Locator: &api.VolumeLocator{Name: "v"}},
		})
	}
	other := "other.7e6f5d4c-3b2a-4190-8877-665544332211@k14c1"
	shared := map[string]api.Ownership_AccessType{fuzzSubject: Read}
	for _, o := range []*api.Ownership{
		nil,
		{},
		{Owner: fuzzSubject},
		{Owner: other},
		{Owner: other, Acls: &api.Ownership_AccessControl{}},
		{Owner: other, Acls: &api.Ownership_AccessControl{Collaborators: shared}},
		{Owner: other, Acls: &api.Ownership_AccessControl{Groups: shared}},
		{Owner: other, Acls: &api.Ownership_AccessControl{Public: &api.Ownership_PublicAccessControl{Type: Write}}},
	} {
		f.Add(uint32(codes.OK), "", volume(o))
	}
	f.Add(uint32(codes.NotFound), "not found", []byte{})
	f.Add(uint32(codes.PermissionDenied), "denied", []byte{})
	f.Add(uint32(codes.Unavailable), "gone", []byte{})
	a := &answering{}
	c := &Client{conn: a.connect(f)}
	f.Fuzz(func(t *testing.T, code uint32, message string, body []byte) {
		a.code, a.message, a.body = codes.Code(code), message, body
		var answer api.SdkVolumeInspectResponse
		there := a.code == codes.OK && proto.Unmarshal(body, &answer) == nil
		ownership := answer.GetVolume().GetSpec().GetOwnership()
		for _, want := range []Access{Read, Write} {
			err := c.Check(t.Context(), "token", fuzzSubject, "v", want)
			may := there && ownership.GetOwner() != "" && (ownership.GetOwner() == fuzzSubject || ownership.GetAcls() != nil)
			if err == nil && !may {
				t.Errorf("%v of a volume of %v is allowed", want, ownership)
			}
			if denied := a.code == codes.NotFound || a.code == codes.PermissionDenied; denied && !errors.Is(err, ErrDenied) {
				t.Errorf("%v is no denial: %v", a.code, err)
			}
		}
		if err := c.Accepts(t.Context(), "token"); (err == nil) != (there || a.code == codes.NotFound) {
			t.Errorf("%v proves a token: %v", a.code, err)
		}
		if guest, err := c.GuestAccess(t.Context()); guest != (there || a.code == codes.NotFound) && err == nil && !IsRefusal(status.Error(a.code, "")) {
			t.Errorf("%v: guest access is %v", a.code, guest)
		}
		v, err := c.Volume(t.Context(), "v")
		if (err == nil) != there || (there && v.ID != answer.GetVolume().GetId()) {
			t.Errorf("%v reads as %+v, %v", &answer, v, err)
		}
		if _, err := c.CompareRoles(t.Context()); err != nil && there && proto.Unmarshal(body, &api.SdkRoleInspectResponse{}) == nil {
			t.Errorf("roles: %v", err)
		}
	})
}

// Whatever the driver answers on its socket: a token is proven only by an answer
// that lists snapshots.
func FuzzProbeCSI(f *testing.F) {
	f.Add(uint32(codes.OK), "", []byte{})
	f.Add(uint32(codes.OK), "", []byte{0x0a, 0x02, 0x0a, 0x00})
	f.Add(uint32(codes.Unauthenticated), "no", []byte{})
	f.Add(uint32(codes.Unimplemented), "no", []byte{})
	a := &answering{}
	conn := a.connect(f)
	f.Fuzz(func(t *testing.T, code uint32, message string, body []byte) {
		a.code, a.message, a.body = codes.Code(code), message, body
		err := ProbeCSI(t.Context(), conn, "token")
		if err == nil && a.code != codes.OK {
			t.Errorf("%v proves a token", a.code)
		}
		if refused := a.code == codes.Unauthenticated || a.code == codes.PermissionDenied; IsRefusal(err) != refused {
			t.Errorf("%v is a refusal: %v", a.code, IsRefusal(err))
		}
	})
}
