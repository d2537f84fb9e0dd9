package main

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// bomType is the media type of SPDX in JSON, as IANA registers it.
const bomType = "application/spdx+json"

func bomFile(output string) string { return strings.TrimSuffix(output, ".tar") + ".spdx.json" }

// The parts of SPDX 2.3 that are used here (spdx.github.io/spdx-spec/v2.3).
type (
	bomDocument struct {
		Version       string            `json:"spdxVersion"`
		DataLicense   string            `json:"dataLicense"`
		ID            string            `json:"SPDXID"`
		Name          string            `json:"name"`
		Namespace     string            `json:"documentNamespace"`
		Creation      bomCreation       `json:"creationInfo"`
		Packages      []bomPackage      `json:"packages"`
		Relationships []bomRelationship `json:"relationships"`
	}
	bomCreation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	bomPackage struct {
		ID               string         `json:"SPDXID"`
		Name             string         `json:"name"`
		Version          string         `json:"versionInfo,omitempty"`
		DownloadLocation string         `json:"downloadLocation"`
		FilesAnalyzed    bool           `json:"filesAnalyzed"`
		References       []bomReference `json:"externalRefs,omitempty"`
	}
	bomReference struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	bomRelationship struct {
		Element string `json:"spdxElementId"`
		Type    string `json:"relationshipType"`
		Related string `json:"relatedSpdxElement"`
	}
)

// billOfMaterials lists the Go modules that the linker put into the binaries,
// the standard library among them, and which binary contains which.
func billOfMaterials(name string, image v1.Hash, binaries []string) ([]byte, error) {
	const (
		document  = "SPDXRef-DOCUMENT"
		imageID   = "SPDXRef-image"
		contains  = "CONTAINS"
		unknown   = "NOASSERTION"
		reference = "PACKAGE-MANAGER"
	)
	repository, tag, _ := strings.Cut(name, ":")
	packages := map[string]bomPackage{imageID: {
		ID: imageID, Name: repository, Version: image.String(), DownloadLocation: unknown,
		References: []bomReference{{reference, "purl", fmt.Sprintf("pkg:oci/%s@%s?repository_url=%s&tag=%s",
			filepath.Base(repository), strings.ReplaceAll(image.String(), ":", "%3A"), repository, tag)}},
	}}
	relationships := map[bomRelationship]bool{{document, "DESCRIBES", imageID}: true}
	for _, path := range binaries {
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("modules of %s: %w", filepath.Base(path), err)
		}
		binaryID := "SPDXRef-binary-" + filepath.Base(path)
		packages[binaryID] = bomPackage{ID: binaryID, Name: info.Path, DownloadLocation: unknown}
		relationships[bomRelationship{imageID, contains, binaryID}] = true
		modules := map[string]string{"stdlib": strings.TrimPrefix(info.GoVersion, "go")}
		for _, module := range info.Deps {
			if module.Replace != nil {
				module = module.Replace
			}
			modules[module.Path] = module.Version
		}
		for path, version := range modules {
			id := "SPDXRef-module-" + bomID(path+"-"+version)
			packages[id] = bomPackage{
				ID: id, Name: path, Version: version, DownloadLocation: unknown,
				References: []bomReference{{reference, "purl", "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")}},
			}
			relationships[bomRelationship{binaryID, contains, id}] = true
		}
	}
	bom := bomDocument{
		Version: "SPDX-2.3", DataLicense: "CC0-1.0", ID: document, Name: name,
		Namespace: "https://" + repository + "/spdx/" + image.Hex,
		Creation:  bomCreation{epoch().Format(time.RFC3339), []string{"Tool: bulkhead/hack/images"}},
	}
	for _, id := range slices.Sorted(maps.Keys(packages)) {
		bom.Packages = append(bom.Packages, packages[id])
	}
	bom.Relationships = slices.SortedFunc(maps.Keys(relationships), func(a, b bomRelationship) int {
		return strings.Compare(a.Element+" "+a.Related, b.Element+" "+b.Related)
	})
	raw, err := json.MarshalIndent(bom, "", " ")
	if err != nil {
		return nil, fmt.Errorf("bill of materials: %w", err)
	}
	return append(raw, '\n'), nil
}

// bomID has the characters that SPDX allows in an id.
func bomID(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '-'
	}, text)
}
