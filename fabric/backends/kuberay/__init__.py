"""Ray clusters as KubeRay objects, placed pod by pod."""
