"""Numbers that say how good the outputs of an engine are."""

from scaffold_runtime.metrics.accuracy import (
    Accuracy,
    TopKAccuracy,
    TopKCategoricalAccuracy,
)
from scaffold_runtime.metrics.average import Average
from scaffold_runtime.metrics.confusion_matrix import (
    ConfusionMatrix,
    DiceCoefficient,
    IoU,
    JaccardIndex,
    cmAccuracy,
    cmPrecision,
    cmRecall,
    mIoU,
)
from scaffold_runtime.metrics.epoch_metric import EpochMetric
from scaffold_runtime.metrics.foreign import attach_metric
from scaffold_runtime.metrics.loss import Loss
from scaffold_runtime.metrics.metric import Metric, NotComputableError
from scaffold_runtime.metrics.metrics_lambda import MetricsLambda
from scaffold_runtime.metrics.perplexity import BitsPerCharacter, Perplexity
from scaffold_runtime.metrics.precision_recall import FBeta, Fbeta, Precision, Recall
from scaffold_runtime.metrics.ranking import ROC_AUC, AveragePrecision
from scaffold_runtime.metrics.regression import (
    MeanAbsoluteError,
    MeanSquaredError,
    R2Score,
    RootMeanSquaredError,
)
from scaffold_runtime.metrics.running_average import RunningAverage
from scaffold_runtime.metrics.usage import (
    BatchFiltered,
    BatchWise,
    EpochWise,
    MetricUsage,
    RunningBatchWise,
    RunningEpochWise,
    SingleEpochRunningBatchWise,
)

__all__ = [
    "ROC_AUC",
    "Accuracy",
    "Average",
    "AveragePrecision",
    "BatchFiltered",
    "BatchWise",
    "BitsPerCharacter",
    "ConfusionMatrix",
    "DiceCoefficient",
    "EpochMetric",
    "EpochWise",
    "FBeta",
    "Fbeta",
    "IoU",
    "JaccardIndex",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "MetricUsage",
    "MetricsLambda",
    "NotComputableError",
    "Perplexity",
    "Precision",
    "R2Score",
    "Recall",
    "RootMeanSquaredError",
    "RunningAverage",
    "RunningBatchWise",
    "RunningEpochWise",
    "SingleEpochRunningBatchWise",
    "TopKAccuracy",
    "TopKCategoricalAccuracy",
    "attach_metric",
    "cmAccuracy",
    "cmPrecision",
    "cmRecall",
    "mIoU",
]
