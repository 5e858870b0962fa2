"""What is done with each member of the requests that describe environments, queues, definitions and jobs.

The compatibility page is made from this table, from what the code itself refuses (`docsgen.compatibility` submits
every sample below), and from the service model, whose every member must have its line here."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct

from batchyard.wire.messages import Document


class Support(StrEnum):
    """What is done with a member, unless an engine refuses it."""

    YES = "yes"
    PARTLY = "partly"
    RECORDED = "recorded"
    REFUSED = "refused"  # whatever the engine; of requests that no sample is made of


class MemberSupport(Struct, frozen=True):
    """What the process engine and Docker do with one member, and a note for the reader."""

    process: Support
    docker: Support
    note: str = ""


class Sample(Struct, frozen=True):
    """A request that uses a member, as additions to one that any engine accepts. `container` goes into its
    containerProperties, `task` and `one` into its ecsProperties and the container there, which has an `other` beside it
    if the member is about both; `submit` goes into SubmitJob."""

    container: Document | None = None
    definition: Document = {}
    task: Document | None = None
    one: Document = {}
    other: bool = False
    submit: Document = {}
    on_fargate: bool = False


def both(support: Support, note: str = "") -> MemberSupport:
    return MemberSupport(support, support, note)


def apart(process: Support, docker: Support, note: str = "") -> MemberSupport:
    return MemberSupport(process, docker, note)


Y, P, R, N = Support.YES, Support.PARTLY, Support.RECORDED, Support.REFUSED
YES = both(Y)
FIRST_ROLE = "No role is assumed. Each attempt has credentials of its own for this service, under this role's name."
NO_ROLE = "No role is assumed: the service itself reads what it needs."
NO_CLOUD = "There is nothing of it on one's own machines."
NETWORK = "Jobs have the host's network, unless the tag batchyard:network or networkMode says otherwise."
PLATFORM = "Compared with this machine, where given: a job for another processor or system is set aside, and says so."
SECRETS = "Read when the attempt starts, from this service's secrets and parameters."
NO_CLUSTER = "Kept and described: pods run wherever containers do."
ONE_CONTAINER = "Processes: one container."
NO_IMAGE = "On the process engine a job is a process of this machine."
STORAGE = (
    "Limits a container's own file system where Docker's storage driver can: overlay2 on xfs with pquota, btrfs, zfs."
)

# Shape of the service model -> members, separated by spaces where they share a line -> what is done with them.
FIELDS: dict[str, dict[str, MemberSupport]] = {
    "RegisterJobDefinitionRequest": {
        "jobDefinitionName type parameters": YES,
        "containerProperties": both(Y, "See ContainerProperties."),
        "ecsProperties": apart(P, Y, "See EcsTaskProperties. Processes: one container."),
        "eksProperties": apart(P, Y, "See EksPodProperties. Processes: one container."),
        "nodeProperties": YES,
        "retryStrategy timeout tags": YES,
        "schedulingPriority": both(Y, "On queues with a scheduling policy, as on AWS."),
        "propagateTags": both(Y, "DescribeTasks of ECS shows them."),
        "platformCapabilities": both(P, "FARGATE needs a queue with a Fargate environment."),
        "consumableResourceProperties": YES,
    },
    "ContainerProperties": {
        "image": apart(R, Y, NO_IMAGE),
        "vcpus memory": both(Y, "As resourceRequirements."),
        "command environment": YES,
        "resourceRequirements": apart(
            P,
            Y,
            "The scheduler gives vCPUs, memory and devices away once. Processes: memory is looked at each second, or "
            "held by the kernel with `--enforce cgroup`, and vCPUs weigh only then. Containers: at least 6 MiB, "
            "the least that Docker starts.",
        ),
        "jobRoleArn": both(R, FIRST_ROLE),
        "executionRoleArn": both(R, NO_ROLE),
        "volumes mountPoints": apart(P, Y, "Processes see the host's own paths: only a mount of a path to itself."),
        "readonlyRootFilesystem": YES,
        "privileged": apart(P, Y, "A process has no confinement that could be lifted."),
        "ulimits": apart(P, Y, "Processes: not above the host's own hard limit; the log says so."),
        "user": apart(
            P, Y, "Processes: a user of this host, if the service runs as root; root itself with `--allow-root-jobs`."
        ),
        "instanceType": both(R, "Of multi-node parallel jobs."),
        "linuxParameters": both(Y, "See LinuxParameters."),
        "logConfiguration": both(P, "See LogConfiguration."),
        "secrets": both(Y, SECRETS),
        "networkConfiguration": both(R, NETWORK),
        "fargatePlatformConfiguration": both(R, NO_CLOUD),
        "enableExecuteCommand": YES,
        "ephemeralStorage": apart(R, P, STORAGE),
        "runtimePlatform": both(P, PLATFORM),
        "repositoryCredentials": apart(R, Y, NO_IMAGE),
    },
    "Volume": {
        "name": YES,
        "host": apart(P, Y, "Without a sourcePath: a fresh directory; containers only."),
        "efsVolumeConfiguration": both(P, "A directory of this machine; see EFSVolumeConfiguration."),
        "s3filesVolumeConfiguration": both(R, "A file system of the cloud."),
    },
    "Host": {"sourcePath": YES},
    "EFSVolumeConfiguration": {
        "fileSystemId": both(Y, "The directory that the configuration file's `[efs]` names for it; else refused."),
        "rootDirectory": both(Y, "Below that directory; on processes `containerPath` must be the whole path."),
        "transitEncryption transitEncryptionPort": both(R, "Nothing is sent anywhere."),
        "authorizationConfig": YES,
    },
    "EFSAuthorizationConfig": {
        "accessPointId": both(Y, "A directory of its name below the file system's, unless `[efs]` names another."),
        "iam": both(R, "Whoever runs the job may do what its user may."),
    },
    "S3FilesVolumeConfiguration": {"fileSystemArn rootDirectory transitEncryptionPort accessPointArn": both(R)},
    "KeyValuePair": {
        "name": both(Y, "Names that begin with AWS_BATCH are refused."),
        "value": both(Y, "A definition's variables with empty values are not kept, as on AWS."),
    },
    "MountPoint": {
        "containerPath sourceVolume": apart(P, Y, "Processes: the same path as on the host."),
        "readOnly": YES,
    },
    "Ulimit": {"name softLimit hardLimit": YES},
    "ResourceRequirement": {
        "type": both(
            Y, "GPU: whole devices; processes find theirs in CUDA_VISIBLE_DEVICES, containers have no others."
        ),
        "value": YES,
    },
    "LinuxParameters": {
        "devices sharedMemorySize tmpfs maxSwap": YES,
        "swappiness": both(Y, "Only together with maxSwap, as on AWS."),
        "initProcessEnabled": apart(
            R,
            Y,
            "What a process leaves behind is reaped, and killed, in any case. Containers have an init unless this is "
            "false.",
        ),
    },
    "Device": {"hostPath containerPath permissions": YES},
    "Tmpfs": {"containerPath size mountOptions": YES},
    "LogConfiguration": {
        "logDriver": both(
            P, "awslogs and json-file are kept here. Of containers Docker's other drivers get the output as well."
        ),
        "options": both(P, "awslogs-group and awslogs-stream-prefix; those of other drivers go to Docker."),
        "secretOptions": both(P, "Must be readable when the attempt starts. They go to Docker's other log drivers."),
    },
    "Secret": {
        "name": both(Y, "Over an environment variable of that name."),
        "valueFrom": both(Y, "A secret's ARN, with `:json-key:version-stage:version-id`; a parameter's ARN or name."),
    },
    "NetworkConfiguration": {"assignPublicIp": both(R)},
    "FargatePlatformConfiguration": {"platformVersion": both(R)},
    "EphemeralStorage": {"sizeInGiB": apart(R, P, STORAGE)},
    "RuntimePlatform": {"operatingSystemFamily cpuArchitecture": both(P, PLATFORM)},
    "RepositoryCredentials": {"credentialsParameter": apart(R, Y)},
    "NodeProperties": {"numNodes mainNode nodeRangeProperties": YES},
    "NodeRangeProperty": {
        "targetNodes container consumableResourceProperties": YES,
        "ecsProperties eksProperties": apart(P, Y, ONE_CONTAINER),
        "instanceTypes": both(R),
    },
    "EcsProperties": {"taskProperties": YES},
    "EcsTaskProperties": {
        "containers": apart(P, Y, "Processes: one container."),
        "volumes": YES,
        "ephemeralStorage": apart(R, P, STORAGE),
        "executionRoleArn": both(R, NO_ROLE),
        "taskRoleArn": both(R, FIRST_ROLE),
        "platformVersion": both(R, NO_CLOUD),
        "ipcMode pidMode": apart(R, Y),
        "networkConfiguration": both(R, NETWORK),
        "networkMode": apart(
            R, P, "host as on AWS, of managed instances only; bridge, awsvpc and none are this service's own."
        ),
        "runtimePlatform": both(P, PLATFORM),
        "enableExecuteCommand": YES,
    },
    "TaskContainerProperties": {
        "name": both(Y, "Up to 200 characters (ECS: 255)."),
        "command environment essential dependsOn secrets": YES,
        "image repositoryCredentials": apart(R, Y, NO_IMAGE),
        "resourceRequirements privileged ulimits user mountPoints": apart(P, Y, "As in ContainerProperties."),
        "linuxParameters readonlyRootFilesystem": both(Y, "As in ContainerProperties."),
        "logConfiguration": both(P, "As in ContainerProperties."),
        "stopTimeout": apart(R, Y, "Processes: the grace is 30 seconds."),
        "startTimeout": apart(R, Y, "How long others wait for this container's end. Processes: one container."),
        "firelensConfiguration": both(R, "Logs are kept here."),
    },
    "TaskContainerDependency": {"containerName condition": YES},
    "FirelensConfiguration": {"type options": both(R)},
    "EksProperties": {"podProperties": apart(P, Y, ONE_CONTAINER)},
    "EksPodProperties": {
        "serviceAccountName": both(R),
        "hostNetwork": both(Y, "False: a network of the pod's own. Nodes are on their job's network in any case."),
        "dnsPolicy": both(R, "Names are resolved as on this machine: there is no cluster."),
        "imagePullSecrets": apart(R, Y, "One at most: a secret of Secrets Manager with `username` and `password`."),
        "containers": apart(P, Y, ONE_CONTAINER),
        "initContainers": YES,
        "volumes": apart(P, Y, "See EksVolume."),
        "metadata": both(R),
        "shareProcessNamespace": both(Y, "Needs /bin/sh in the image of the first of several containers."),
        "securityContext": apart(P, P, "As in EksContainerSecurityContext."),
    },
    "ImagePullSecret": {"name": apart(R, Y)},
    "EksContainer": {
        "name": both(Y, "Up to 200 letters, digits, hyphens and underscores."),
        "image": apart(R, Y, NO_IMAGE),
        "imagePullPolicy": apart(R, Y, "Without it an image is pulled where it is missing, whatever its tag."),
        "command args env": both(Y, "With Kubernetes' `$(VARIABLE)`."),
        "resources": apart(P, Y, "See EksContainerResourceRequirements."),
        "volumeMounts": apart(P, Y, "As mountPoints."),
        "securityContext": apart(P, P, "See EksContainerSecurityContext."),
    },
    "EksContainerEnvironmentVariable": {"name value": YES},
    "EksContainerResourceRequirements": {
        "limits": apart(P, Y, "Memory, GPUs, and what cpu is capped at; processes: cpu is not capped."),
        "requests": both(Y, "A container without cpu or memory gets 0.25 and 256Mi, as from a LimitRange."),
    },
    "EksContainerVolumeMount": {
        "name": YES,
        "mountPath": apart(P, Y, "Processes see the host's own paths."),
        "subPath": apart(P, P, "Of a hostPath."),
        "readOnly": YES,
    },
    "EksContainerSecurityContext": {
        "runAsUser runAsGroup": apart(P, Y, "As `user` of ContainerProperties; the group along with a user."),
        "privileged": apart(P, Y, "A process has no confinement that could be lifted."),
        "allowPrivilegeEscalation readOnlyRootFilesystem": YES,
        "runAsNonRoot": both(P, "With runAsUser, which then must not be 0."),
        "capabilities": YES,
        "seccompProfile": apart(P, P, "RuntimeDefault or Unconfined."),
    },
    "EksContainerLinuxCapabilities": {"add drop": YES},
    "EksSeccompProfile": {"type": both(Y), "localhostProfile": both(R)},
    "EksVolume": {
        "name": both(Y, "Up to 200 letters, digits, hyphens, underscores and dots."),
        "hostPath": apart(P, Y, "Processes: mounted at the same path only."),
        "emptyDir": YES,
        "secret": both(Y, "A secret of Secrets Manager: a file for each member of a JSON object, else one `value`."),
        "persistentVolumeClaim": both(R),
    },
    "EksHostPath": {"path": YES},
    "EksEmptyDir": {"medium": YES, "sizeLimit": both(P, "Holds for the medium Memory.")},
    "EksSecret": {"secretName optional": YES},
    "EksPersistentVolumeClaim": {"claimName readOnly": both(R)},
    "EksMetadata": {"labels annotations namespace": both(R)},
    "EksPodSecurityContext": {
        "runAsUser runAsGroup runAsNonRoot seccompProfile": apart(P, P, "As in EksContainerSecurityContext."),
        "fsGroup": both(R),
    },
    "ConsumableResourceProperties": {"consumableResourceList": YES},
    "ConsumableResourceRequirement": {"consumableResource quantity": YES},
    "RetryStrategy": {"attempts evaluateOnExit": YES},
    "EvaluateOnExit": {
        "onReason onExitCode": YES,
        "onStatusReason": both(Y, "`Host EC2 was terminated`, found in tutorials, matches every lost host."),
        "action": both(Y, "FAILED, found in tutorials, means EXIT."),
    },
    "JobTimeout": {"attemptDurationSeconds": both(Y, "The least is a setting, 60 as on AWS.")},
    "SubmitJobRequest": {
        "jobName jobQueue jobDefinition parameters retryStrategy timeout arrayProperties dependsOn": YES,
        "tags": both(Y, "`batchyard:after-any` = `true` waits for any end of the dependencies."),
        "containerOverrides": both(Y, "See ContainerOverrides."),
        "shareIdentifier schedulingPriorityOverride": both(Y, "On queues with a fair-share policy, as on AWS."),
        "nodeOverrides": YES,
        "propagateTags": both(Y, "DescribeTasks of ECS shows them."),
        "ecsPropertiesOverride eksPropertiesOverride consumableResourcePropertiesOverride": YES,
    },
    "ArrayProperties": {"size": both(Y, "The most is a setting, 10,000 as on AWS.")},
    "JobDependency": {
        "jobId": YES,
        "type": both(Y, "N_TO_N only between arrays of one size; SEQUENTIAL with a jobId is a plain dependency."),
    },
    "ContainerOverrides": {
        "command environment resourceRequirements": YES,
        "vcpus memory": both(Y, "They replace only their like in the definition, as on AWS."),
        "instanceType": both(R, "Of multi-node parallel jobs."),
    },
    "NodeOverrides": {"numNodes nodePropertyOverrides": YES},
    "NodePropertyOverride": {
        "targetNodes containerOverrides consumableResourcePropertiesOverride": YES,
        "ecsPropertiesOverride": apart(P, Y, ONE_CONTAINER),
        "eksPropertiesOverride": YES,
        "instanceTypes": both(R),
    },
    "EcsPropertiesOverride": {"taskProperties": YES},
    "TaskPropertiesOverride": {"containers": YES},
    "TaskContainerOverrides": {"name command environment resourceRequirements": YES},
    "EksPropertiesOverride": {"podProperties": YES},
    "EksPodPropertiesOverride": {"containers": YES, "initContainers": YES, "metadata": both(R)},
    "EksContainerOverride": {"name command args env resources": YES, "image": apart(R, Y, NO_IMAGE)},
    "CreateComputeEnvironmentRequest": {
        "computeEnvironmentName state tags": YES,
        "type": both(Y, "UNMANAGED: this machine as it is. MANAGED: instances that reserve shares of it."),
        "unmanagedvCpus": both(R),
        "computeResources": both(Y, "See ComputeResource."),
        "serviceRole": both(R, NO_ROLE),
        "eksConfiguration": both(R, NO_CLUSTER),
        "context": both(R),
        "ecsSettings": both(R, NO_CLOUD),
    },
    "ComputeResource": {
        "type": both(P, "EC2, SPOT and the FARGATE kinds; managed instances of ECS offer no capacity."),
        "minvCpus maxvCpus desiredvCpus": both(Y, "Of this machine: what it has not is refused as capacity is."),
        "allocationStrategy instanceTypes": both(Y, "By a catalogue of EC2's types, and the owner's prices."),
        "bidPercentage": both(Y, "Of the owner's on-demand price."),
        "scalingPolicy": both(Y, "Without it idle instances go after `--scale-down-seconds`."),
        "imageId subnets securityGroupIds ec2KeyPair instanceRole placementGroup spotIamFleetRole": both(R, NO_CLOUD),
        "launchTemplate ec2Configuration": both(R, NO_CLOUD),
        "managedInstancesProvider capacityTags": both(R, NO_CLOUD),
        "tags": both(R, "Instances have no tags here."),
    },
    "LaunchTemplateSpecification": {
        "launchTemplateId launchTemplateName version overrides userdataType": both(R, NO_CLOUD)
    },
    "LaunchTemplateSpecificationOverride": {
        "launchTemplateId launchTemplateName version targetInstanceTypes userdataType": both(R, NO_CLOUD)
    },
    "Ec2Configuration": {"imageType imageIdOverride batchImageStatus imageKubernetesVersion": both(R, NO_CLOUD)},
    "ComputeScalingPolicy": {"minScaleDownDelayMinutes": YES},
    "ManagedInstancesProvider": {
        "propagateTags infrastructureRoleArn instanceLaunchTemplate infrastructureOptimization": both(R, NO_CLOUD)
    },
    "InstanceLaunchTemplate": {
        "ec2InstanceProfileArn networkConfiguration instanceRequirements capacityOptionType storageConfiguration "
        "monitoring fipsEnabled capacityReservations instanceMetadataTagsPropagation "
        "localStorageConfiguration": both(R, NO_CLOUD)
    },
    "ManagedInstancesNetworkConfiguration": {"subnets securityGroups": both(R)},
    "InstanceRequirementsRequest": {"allowedInstanceTypes": both(R)},
    "ManagedInstancesStorageConfiguration": {"storageSizeGiB": both(R)},
    "CapacityReservationRequest": {"reservationGroupArn reservationPreference": both(R)},
    "ManagedInstancesLocalStorageConfiguration": {"useLocalStorage": both(R)},
    "InfrastructureOptimization": {"scaleInAfter": both(R)},
    "EksConfiguration": {"eksClusterArn kubernetesNamespace accessEntry": both(R)},
    "EksAccessEntry": {"desiredState status": both(R)},
    "EcsSettings": {
        "containerInsights": both(P, "Tasks are logged each minute unless it is DISABLED; ENHANCED adds nothing.")
    },
    "CreateJobQueueRequest": {
        "jobQueueName priority tags": YES,
        "state": both(Y, "A DISABLED queue refuses SubmitJob."),
        "computeEnvironmentOrder": YES,
        "schedulingPolicyArn": YES,
        "serviceEnvironmentOrder": both(R, "Such a queue takes service jobs only, and none of them runs."),
        "jobQueueType": both(R),
        "jobStateTimeLimitActions": YES,
    },
    "ComputeEnvironmentOrder": {"order computeEnvironment": YES},
    "ServiceEnvironmentOrder": {"order serviceEnvironment": both(R)},
    "JobStateTimeLimitAction": {
        "reason state maxTimeSeconds": YES,
        "action": both(Y, "CANCEL; TERMINATE on queues for service jobs, where nothing ever sets it off."),
    },
}

ROLE = "arn:aws:iam::123456789012:role/any"
POD: Document = {"podProperties": {"containers": [{"image": "any", "command": ["true"]}]}}
# Valid on Fargate too, alone and twice.
RESOURCES: list[Document] = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "2048"}]
PLAIN: Document = {"image": "any", "command": ["true"], "resourceRequirements": RESOURCES}


def _nodes(**body: Document) -> Document:
    """Returns a definition of nodes with this body."""
    nodes = {"numNodes": 2, "mainNode": 0, "nodeRangeProperties": [{"targetNodes": ":", **body}]}
    return {"type": "multinode", "nodeProperties": nodes}


NODES = _nodes(container=PLAIN)
CONSUMABLES: Document = {"consumableResourceList": [{"consumableResource": "licence", "quantity": 1}]}


def _container(**members: Any) -> Sample:
    return Sample(container=members)


def _linux(**members: Any) -> Sample:
    return _container(linuxParameters=members)


def _volume(**kind: Any) -> Sample:
    points = [{"sourceVolume": "v", "containerPath": "/v"}]
    return _container(jobRoleArn=ROLE, volumes=[{"name": "v", **kind}], mountPoints=points)


FARGATE: Document = {"platformCapabilities": ["FARGATE"]}


def _fargate(**members: Any) -> Sample:
    return Sample(container={"executionRoleArn": ROLE, **members}, definition=FARGATE, on_fargate=True)


def _fargate_task(**members: Any) -> Sample:
    return Sample(task={"executionRoleArn": ROLE, **members}, definition=FARGATE, on_fargate=True)


def _task(**members: Any) -> Sample:
    return Sample(task=members)


def _one(**members: Any) -> Sample:
    return Sample(task={"executionRoleArn": ROLE}, one=members)


def _two(**members: Any) -> Sample:
    return Sample(task={}, one=members, other=True)


def _pod(*containers: Document, **members: Any) -> Sample:
    """Returns a pod of one container unless others are given."""
    main: Document = {"image": "any", "command": ["true"]}
    pod = {"containers": [main | one for one in containers or ({},)]} | members
    return Sample(definition={"eksProperties": {"podProperties": pod}})


def _secured(**context: Any) -> Sample:
    return _pod({"securityContext": context})


def _pod_volume(mount: Document | None = None, **kind: Any) -> Sample:
    point = {"name": "v", "mountPath": "/v"} | (mount or {})
    return _pod({"volumeMounts": [point]}, volumes=[{"name": "v", **kind}])


# A member -> a request that uses it. What the code answers decides between the table above and "refused".
SAMPLES: dict[str, Sample] = {
    "RegisterJobDefinitionRequest.containerProperties": _container(),
    "RegisterJobDefinitionRequest.ecsProperties": _task(),
    "RegisterJobDefinitionRequest.eksProperties": Sample(definition={"eksProperties": POD}),
    "EksPodProperties.serviceAccountName": _pod(serviceAccountName="any"),
    "EksPodProperties.hostNetwork": _pod(hostNetwork=False),
    "EksPodProperties.imagePullSecrets": _pod(imagePullSecrets=[{"name": "any"}]),
    "EksPodProperties.initContainers": _pod(initContainers=[{"name": "one", "image": "any", "command": ["true"]}]),
    "EksPodProperties.shareProcessNamespace": _pod({"name": "one"}, {"name": "other"}, shareProcessNamespace=True),
    "EksContainer.imagePullPolicy": _pod({"imagePullPolicy": "Always"}),
    "EksContainerSecurityContext.runAsUser": _secured(runAsUser=1),
    "EksContainerSecurityContext.privileged": _secured(privileged=True),
    "EksContainerSecurityContext.allowPrivilegeEscalation": _secured(allowPrivilegeEscalation=False),
    "EksContainerSecurityContext.readOnlyRootFilesystem": _secured(readOnlyRootFilesystem=True),
    "EksContainerSecurityContext.capabilities": _secured(capabilities={"drop": ["ALL"]}),
    "EksSeccompProfile.localhostProfile": _secured(seccompProfile={"type": "Localhost", "localhostProfile": "any"}),
    "EksPodSecurityContext.fsGroup": _pod(securityContext={"fsGroup": 1}),
    "EksVolume.hostPath": _pod_volume(hostPath={"path": "/v"}),
    "EksVolume.emptyDir": _pod_volume(emptyDir={}),
    "EksVolume.secret": _pod_volume(secret={"secretName": "any"}),
    "EksVolume.persistentVolumeClaim": _pod_volume(persistentVolumeClaim={"claimName": "any"}),
    "EksContainerVolumeMount.readOnly": _pod_volume({"readOnly": True}, hostPath={"path": "/v"}),
    "RegisterJobDefinitionRequest.nodeProperties": Sample(definition=NODES),
    "NodeRangeProperty.eksProperties": Sample(definition=_nodes(eksProperties=POD)),
    "NodePropertyOverride.eksPropertiesOverride": Sample(
        definition=_nodes(eksProperties=POD),
        submit={"nodeOverrides": {"nodePropertyOverrides": [{"targetNodes": ":", "eksPropertiesOverride": POD}]}},
    ),
    "RegisterJobDefinitionRequest.propagateTags": Sample(container={}, definition={"propagateTags": True}),
    "RegisterJobDefinitionRequest.platformCapabilities": _fargate(),
    "RegisterJobDefinitionRequest.schedulingPriority": Sample(container={}, definition={"schedulingPriority": 1}),
    "RegisterJobDefinitionRequest.consumableResourceProperties": Sample(
        container={}, definition={"consumableResourceProperties": CONSUMABLES}
    ),
    "ContainerProperties.image": _container(image="other"),
    "ContainerProperties.vcpus": _container(vcpus=1, memory=8, resourceRequirements=[]),
    "ContainerProperties.memory": _container(vcpus=1, memory=8, resourceRequirements=[]),
    "ContainerProperties.command": _container(command=["sleep", "1"]),
    "ContainerProperties.resourceRequirements": _container(
        resourceRequirements=[*RESOURCES, {"type": "GPU", "value": "1"}]
    ),
    "ContainerProperties.environment": _container(environment=[{"name": "A", "value": "1"}]),
    "ContainerProperties.volumes": _volume(host={"sourcePath": "/v"}),
    "ContainerProperties.mountPoints": _volume(host={"sourcePath": "/v"}),
    "ContainerProperties.linuxParameters": _container(linuxParameters={"initProcessEnabled": True}),
    "ContainerProperties.logConfiguration": _container(
        logConfiguration={"logDriver": "awslogs", "options": {"awslogs-group": "/a"}}
    ),
    "ContainerProperties.jobRoleArn": _container(jobRoleArn=ROLE),
    "ContainerProperties.executionRoleArn": _container(executionRoleArn=ROLE),
    "ContainerProperties.readonlyRootFilesystem": _container(readonlyRootFilesystem=True),
    "ContainerProperties.privileged": _container(privileged=True),
    "ContainerProperties.ulimits": _container(ulimits=[{"name": "core", "softLimit": 0, "hardLimit": 0}]),
    "ContainerProperties.user": _container(user="nobody"),
    "ContainerProperties.instanceType": _container(instanceType="c5.large"),
    "ContainerProperties.secrets": _container(executionRoleArn=ROLE, secrets=[{"name": "A", "valueFrom": "a"}]),
    "ContainerProperties.networkConfiguration": _fargate(networkConfiguration={"assignPublicIp": "ENABLED"}),
    "ContainerProperties.fargatePlatformConfiguration": _fargate(
        fargatePlatformConfiguration={"platformVersion": "LATEST"}
    ),
    "ContainerProperties.enableExecuteCommand": _container(enableExecuteCommand=True),
    "ContainerProperties.ephemeralStorage": _fargate(ephemeralStorage={"sizeInGiB": 30}),
    "ContainerProperties.runtimePlatform": _fargate(runtimePlatform={"cpuArchitecture": "ARM64"}),
    "ContainerProperties.repositoryCredentials": _container(repositoryCredentials={"credentialsParameter": "a"}),
    "Volume.host": _volume(host={"sourcePath": "/v"}),
    "Volume.efsVolumeConfiguration": _volume(efsVolumeConfiguration={"fileSystemId": "fs-1"}),
    "Volume.s3filesVolumeConfiguration": _volume(s3filesVolumeConfiguration={"fileSystemArn": "a"}),
    "MountPoint.readOnly": _container(
        volumes=[{"name": "v", "host": {"sourcePath": "/v"}}],
        mountPoints=[{"sourceVolume": "v", "containerPath": "/v", "readOnly": True}],
    ),
    "LinuxParameters.devices": _linux(devices=[{"hostPath": "/dev/null"}]),
    "LinuxParameters.initProcessEnabled": _linux(initProcessEnabled=True),
    "LinuxParameters.sharedMemorySize": _linux(sharedMemorySize=64),
    "LinuxParameters.tmpfs": _linux(tmpfs=[{"containerPath": "/t", "size": 1}]),
    "LinuxParameters.maxSwap": _linux(maxSwap=0, swappiness=60),
    "LinuxParameters.swappiness": _linux(swappiness=60),
    "LogConfiguration.logDriver": _container(logConfiguration={"logDriver": "json-file"}),
    "LogConfiguration.secretOptions": _container(
        executionRoleArn=ROLE,
        logConfiguration={"logDriver": "awslogs", "secretOptions": [{"name": "A", "valueFrom": "a"}]},
    ),
    "LogConfiguration.options": _container(
        logConfiguration={"logDriver": "awslogs", "options": {"awslogs-region": "us-east-1"}}
    ),
    "EcsTaskProperties.containers": _task(),
    "EcsTaskProperties.volumes": _task(volumes=[{"name": "v"}]),
    "EcsTaskProperties.ephemeralStorage": _fargate_task(ephemeralStorage={"sizeInGiB": 30}),
    "EcsTaskProperties.executionRoleArn": _task(executionRoleArn=ROLE),
    "EcsTaskProperties.platformVersion": _fargate_task(platformVersion="LATEST"),
    "EcsTaskProperties.taskRoleArn": _task(taskRoleArn=ROLE),
    "EcsTaskProperties.networkConfiguration": _fargate_task(networkConfiguration={"assignPublicIp": "ENABLED"}),
    "EcsTaskProperties.runtimePlatform": _fargate_task(runtimePlatform={"cpuArchitecture": "ARM64"}),
    "EcsTaskProperties.networkMode": _task(networkMode="bridge"),
    "EcsTaskProperties.ipcMode": _task(ipcMode="task"),
    "EcsTaskProperties.pidMode": _task(pidMode="task"),
    "EcsTaskProperties.enableExecuteCommand": _task(enableExecuteCommand=True),
    "TaskContainerProperties.name": _one(name="x" * 200),
    "TaskContainerProperties.image": _one(image="other"),
    "TaskContainerProperties.command": _one(command=["sleep", "1"]),
    "TaskContainerProperties.environment": _one(environment=[{"name": "A", "value": "1"}]),
    "TaskContainerProperties.resourceRequirements": _one(
        resourceRequirements=[*RESOURCES, {"type": "GPU", "value": "1"}]
    ),
    "TaskContainerProperties.logConfiguration": _one(logConfiguration={"logDriver": "awslogs"}),
    "TaskContainerProperties.mountPoints": Sample(
        task={"volumes": [{"name": "v", "host": {"sourcePath": "/v"}}]},
        one={"mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}]},
    ),
    "TaskContainerProperties.ulimits": _one(ulimits=[{"name": "core", "softLimit": 0, "hardLimit": 0}]),
    "TaskContainerProperties.user": _one(user="nobody"),
    "TaskContainerProperties.repositoryCredentials": _one(repositoryCredentials={"credentialsParameter": "a"}),
    "TaskContainerProperties.startTimeout": _one(startTimeout=10),
    "TaskContainerProperties.stopTimeout": _one(stopTimeout=10),
    "TaskContainerProperties.essential": _two(essential=False),
    "TaskContainerProperties.dependsOn": _two(dependsOn=[{"containerName": "other", "condition": "START"}]),
    "TaskContainerProperties.firelensConfiguration": _one(firelensConfiguration={"type": "fluentbit"}),
    "TaskContainerProperties.linuxParameters": _one(linuxParameters={"initProcessEnabled": True}),
    "TaskContainerProperties.privileged": _one(privileged=True),
    "TaskContainerProperties.readonlyRootFilesystem": _one(readonlyRootFilesystem=True),
    "TaskContainerProperties.secrets": _one(secrets=[{"name": "A", "valueFrom": "a"}]),
    "SubmitJobRequest.containerOverrides": Sample(container={}, submit={"containerOverrides": {"command": ["true"]}}),
    "SubmitJobRequest.arrayProperties": Sample(container={}, submit={"arrayProperties": {"size": 2}}),
    "SubmitJobRequest.parameters": Sample(container={"command": ["Ref::a"]}, submit={"parameters": {"a": "true"}}),
    "SubmitJobRequest.retryStrategy": Sample(container={}, submit={"retryStrategy": {"attempts": 2}}),
    "SubmitJobRequest.timeout": Sample(container={}, submit={"timeout": {"attemptDurationSeconds": 60}}),
    "SubmitJobRequest.tags": Sample(container={}, submit={"tags": {"a": "b"}}),
    "SubmitJobRequest.propagateTags": Sample(container={}, submit={"propagateTags": True}),
    "SubmitJobRequest.nodeOverrides": Sample(definition=NODES, submit={"nodeOverrides": {"numNodes": 2}}),
    "SubmitJobRequest.eksPropertiesOverride": Sample(
        definition={"eksProperties": POD}, submit={"eksPropertiesOverride": POD}
    ),
    "SubmitJobRequest.ecsPropertiesOverride": Sample(
        task={},
        submit={"ecsPropertiesOverride": {"taskProperties": [{"containers": [{"name": "one", "command": ["a"]}]}]}},
    ),
    "SubmitJobRequest.consumableResourcePropertiesOverride": Sample(
        container={}, submit={"consumableResourcePropertiesOverride": CONSUMABLES}
    ),
    "ContainerOverrides.command": Sample(container={}, submit={"containerOverrides": {"command": ["true"]}}),
    "ContainerOverrides.environment": Sample(
        container={}, submit={"containerOverrides": {"environment": [{"name": "A", "value": "1"}]}}
    ),
    "ContainerOverrides.resourceRequirements": Sample(
        container={}, submit={"containerOverrides": {"resourceRequirements": RESOURCES}}
    ),
    "ContainerOverrides.vcpus": Sample(container={}, submit={"containerOverrides": {"vcpus": 1}}),
    "ContainerOverrides.memory": Sample(container={}, submit={"containerOverrides": {"memory": 8}}),
    "ContainerOverrides.instanceType": Sample(
        container={}, submit={"containerOverrides": {"instanceType": "c5.large"}}
    ),
}
